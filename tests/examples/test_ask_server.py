import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    """Answers as a server would: the number of tokens of each row, and an error for an empty row."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = body["rows"]
        is_right = self.headers["Content-Type"] == "application/json" and self.path == "/predict" and all(rows)
        found = [{"length": len(row), "scores": body["scores"]} for row in rows]
        self.send_response(200 if is_right else 422)
        self.end_headers()
        self.wfile.write(json.dumps(found if is_right else {"detail": "row 1 is empty"}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def example(load):
    return load("ask_server")


@pytest.mark.parametrize(
    ("arguments", "lengths"),
    [(["ab", "c"], [2, 1]), (["--words", "ab", "c d e"], [1, 3]), (["--json", "[[1, 2], [3, 4], [5, 6]]"], [3])],
)
def test_rows(example, url, capsys, arguments, lengths):
    example.main(["--url", url, *arguments])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"length": n, "scores": False} for n in lengths]


def test_scores(example, url):
    assert example.ask(url, ["ab"], scores=True) == [{"length": 2, "scores": True}]


def test_errors(example, url):
    with pytest.raises(ValueError, match="row 1 is empty"):
        example.ask(url, ["ab", ""])
    with pytest.raises(SystemExit, match="error: row 1 is empty"):
        example.main(["--url", url, "ab", ""])
    with pytest.raises(SystemExit, match=r"error: .*refused"):
        example.main(["--url", "http://127.0.0.1:9", "ab"])
