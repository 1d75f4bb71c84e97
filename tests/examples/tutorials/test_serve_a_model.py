import contextlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

import seqkit
from seqkit.data import PythonCode
from tests.examples.conftest import EXAMPLES
from tests.serve.cases import free_port


@contextlib.contextmanager
def stub(folder, port):
    """Answer as the server does, in this process."""
    model = seqkit.load(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                rows = [body["row"]] if "row" in body else body["rows"]
                found = model.predict(rows)
                status, answer = 200, found[0] if "row" in body else found
            except (TypeError, ValueError) as error:
                status, answer = 422, {"detail": str(error)}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


@pytest.fixture
def example(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load("tutorials/serve_a_model")


@pytest.fixture
def source():
    return PythonCode([str(EXAMPLES)], max_characters=60_000, validation=0.2, test=0.2)


def check(output, folder):
    right, count = re.search(r"ONNX Runtime gives ([\d,]+) of ([\d,]+) labels as torch does", output).groups()
    assert right == count
    assert "config.json" in output
    assert "the server answers what the model predicts: True" in output
    assert "a wrong row: row 0" in output
    assert {path.name for path in folder.iterdir()} == {"checkpoints", "model", "model.onnx"}


def test_serve_a_model(example, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "server", stub)
    example.tutorial(source, 1, 0)
    check(capsys.readouterr().out, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("loopback")
@pytest.mark.skipif(os.name == "nt", reason="LitServe has no processes for requests on Windows")
def test_with_the_server(example, source, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    example.tutorial(source, 1, free_port())
    output = capfd.readouterr().out
    check(output, tmp_path)
    assert "seqkit.Tagger at http://127.0.0.1:" in output


def test_a_server_that_ends_ends_the_program(example, monkeypatch):
    ended = SimpleNamespace(poll=lambda: 1, terminate=lambda: None, wait=lambda: 1)
    monkeypatch.setattr(example.subprocess, "Popen", lambda command: ended)
    with pytest.raises(SystemExit, match="the server has ended"), example.server("no-model", 1):
        pass


def test_shown(example):
    kinds = ["name", "whitespace", "operator", "whitespace", "number", "number"]
    assert example.shown("x = 42", kinds).split() == ["x", "name", "=", "operator", "42", "number"]
