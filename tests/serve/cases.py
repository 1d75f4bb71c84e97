"""What tests of the server share."""

import http.client
import json
import socket
import time
from pathlib import Path

from tests.processes import Process

TAGGER = Path(__file__).parents[1] / "saved_files" / "tagger.ckpt"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, body=None, headers=None):
    """Return the status, the headers and the JSON (or text) of a response; ``body`` is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, data, kind if headers is None else headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return response.status, response.headers, json.loads(text) if is_json else text


class ServerProcess:
    """A server in a process of its own."""

    def __init__(self, folder, *options):
        self.port = free_port()
        arguments = ("-m", "seqkit", "serve", "--ckpt_path", TAGGER, "--port", self.port, *options)
        # LitServe prints the processes that it starts through the folder's own output files.
        self.process = Process(*arguments, cwd=folder, env={"OMP_NUM_THREADS": "1"})
        end = time.monotonic() + 120
        while not self._answers():
            assert self.process.is_running(), self.process.wait(1)
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.1)

    def _answers(self):
        try:
            return ask(self.port, "/health")[0] == 200
        except OSError:
            return False

    def ask(self, path, body=None, headers=None):
        return ask(self.port, path, body, headers)

    def close(self):
        if self.process.is_running():
            self.process.kill()


class StubModel:
    """Gives each word of a row's one column its upper-case form; refuses empty rows as `predict` does."""

    def __init__(self):
        self.calls = []

    def predict(self, rows, *, max_tokens, progress, scores):
        assert progress is False
        self.calls.append(len(rows))
        found = []
        for number, row in enumerate(rows):
            words = row["words"]
            if not words:
                raise ValueError(f"row {number}: there are no words; leave the row out")
            if "crash" in words:
                raise RuntimeError("out of memory")
            line = {"tags": [word.upper() for word in words]}
            found.append(line | ({"tags_scores": [1.0] * len(words)} if scores else {}))
        return found
