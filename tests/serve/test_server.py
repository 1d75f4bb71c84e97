"""One server in processes of its own, for all tests of this file."""

import json
import os
import socket
import threading
import time

import pytest

import seqkit
from seqkit import Tagger
from seqkit.serve.server import serve
from tests.serve.cases import TAGGER, ServerProcess, ask

pytestmark = [
    pytest.mark.usefixtures("loopback"),
    pytest.mark.skipif(os.name == "nt", reason="LitServe has no processes for requests on Windows"),
]


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The server, started again after a test that stops it."""
    folder = tmp_path_factory.mktemp("server")
    running = []

    def server():
        if not running or not running[-1].process.is_running():
            running.append(ServerProcess(folder, "--max_rows", "50", "--max_bytes", "3000000"))
        return running[-1]

    yield server
    for each in running:
        each.close()


@pytest.fixture
def server(started):
    return started()


@pytest.fixture(scope="module")
def model():
    return Tagger.load_from_checkpoint(TAGGER, map_location="cpu")


def test_health_info_and_page(server):
    status, _, text = server.ask("/health")
    assert (status, text) == (200, "ok")
    status, _, info = server.ask("/info")
    assert status == 200
    assert info["model"]["task"] == "seqkit.Tagger"
    assert info["model"]["version"] == seqkit.__version__
    assert info["model"]["limits"] == {"rows": 50, "tokens": 200_000, "bytes": 3_000_000}
    status, headers, page = server.ask("/")
    assert status == 200
    assert page.startswith("<!doctype html>")
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]


def test_predictions_are_those_of_python(server, model):
    rows = [["one"], ["two", "words"], ["naïve", "日本", "x"]]
    status, _, found = server.ask("/predict", {"rows": rows, "scores": True})
    expected = model.predict(rows, scores=True)
    assert status == 200
    assert [list(each) for each in found] == [list(each) for each in expected]
    for each, own in zip(found, expected, strict=True):
        assert each["tags"] == own["tags"]
        assert each["tags_scores"] == pytest.approx(own["tags_scores"], abs=1e-5)
    assert server.ask("/predict", {"row": rows[1]})[2] == model.predict(rows[1])
    assert server.ask("/predict", {"rows": []})[::2] == (200, [])


def test_bad_input(server, model):
    with pytest.raises((ValueError, TypeError)) as raised:
        model.predict([["a"], []])
    assert server.ask("/predict", {"rows": [["a"], []]})[::2] == (422, {"detail": str(raised.value)})
    for body, headers, status, message in (
        ({"rwos": []}, None, 422, "the body has a key 'rwos'; did you mean 'rows'?"),
        (b'{"row": [', None, 422, "the body is no JSON: "),
        (b"", None, 422, "the body is empty; send an object"),
        (b'{"row": ["\xff"]}', None, 422, "the body is no JSON in UTF-8, or has thousands of lists within lists"),
        (b'{"row": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, 422, "thousands of lists within lists"),
        (b'{"row": ["a"]}', {"Content-Type": "text/plain"}, 422, "send the header Content-Type: application/json"),
        ({"rows": [["a"]] * 51}, None, 413, "the request has 51 rows, and the server takes 50 at once"),
        ({"row": ["a"] * 200_001}, None, 413, "the request has 200,001 tokens"),
        ({"row": ["a" * 3_000_000]}, None, 413, "the request has more than 3,000,000 bytes"),
    ):
        found = server.ask("/predict", body, headers)
        assert found[0] == status, found
        assert message in found[2]["detail"]
    assert server.ask("/predict")[0] == 405


def test_clients_at_the_same_time(server, model):
    """Those with bad input get an error, all others their own rows' answer."""
    texts = [[f"w{i}", "x"] * (1 + i % 7) for i in range(40)]
    expected = model.predict(texts)
    found = {}

    def client(i):
        body = {"row": []} if i % 10 == 3 else {"row": texts[i]}
        found[i] = server.ask("/predict", body)[::2]

    threads = [threading.Thread(target=client, args=(i,)) for i in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(found) == 40
    for i, (status, answer) in found.items():
        assert status == (422 if i % 10 == 3 else 200)
        assert i % 10 == 3 or answer == expected[i]


def test_stopping_answers_what_runs(server):
    body = json.dumps({"rows": [["word"] * 2000] * 45}).encode()
    lines = ("POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(4)]
    for client in clients:
        client.sendall(head.encode() + body)
    time.sleep(0.3)  # until all are read
    server.process.stop()
    for client in clients:
        with client, client.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
            content = answer.read().rpartition(b"\r\n\r\n")[2]
        assert len(json.loads(content)) == 45
    done = server.process.wait(60)
    assert done.returncode == 0, done
    assert f"seqkit.Tagger at http://127.0.0.1:{server.port} (Ctrl-C ends)" in done.stdout
    assert done.stderr.splitlines() == ["stopping; requests that wait are answered"]
    with pytest.raises(OSError, match="refused"):
        ask(server.port, "/health")


# In process: what is refused before anything starts.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "localhost"}, r"host='localhost': must be one of '127\.0\.0\.1', '0\.0\.0\.0', '::'"),
        ({"port": 80}, "port=80: must be an integer from 1024 to 65535"),
        ({"max_tokens": 0}, "max_tokens=0: must be an integer of at least 1"),
        ({"max_rows": 0}, "max_rows=0"),
        ({"workers": 0}, "workers=0"),
        ({"trust": "a b"}, "trust contains 'a b'"),
        ({"accelerator": "cuda"}, "this machine has no device 'cuda'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        serve(TAGGER, **options)


def test_a_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"port {port} of 127\.0\.0\.1 cannot be used .*; give another one by --port"
        ):
            serve(TAGGER, port=port)


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "notes.ckpt").write_text("notes")
    with pytest.raises(ValueError, match=r"notes\.ckpt is no checkpoint of seqkit"):
        serve(tmp_path / "notes.ckpt")
