import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import processes

ROWS = [[f"w{i}"] * (1 + i % 5) for i in range(60)]
EXPECTED = [[word.upper() for word in row] for row in ROWS]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["row"]
        with self.server.lock:
            self.server.rows.append(row)
        status, found = self.server.answer(row)
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.rows, server.lock = [], threading.Lock()
    server.answer = lambda row: (200, {"tags": [word.upper() for word in row]})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def benchmark(load):
    return load("benchmarks/serve")


@pytest.mark.parametrize("clients", [1, 7])
def test_every_row_is_sent_once(benchmark, server, clients):
    found = benchmark.load_test(server.server_address[1], ROWS, EXPECTED, clients)
    assert sorted(server.rows) == sorted(ROWS)
    assert 0 < found["p50"] <= found["p99"]
    assert found["requests/s"] > 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda row: (200, {"tags": [word.upper() for word in row][:4]}), "12 answers of 60 are wrong"),
        (lambda row: (500, {"detail": "no"}) if row == ROWS[3] else (200, {"tags": row}), "1 answers of 60"),
        (lambda row: (200, {"tags": ["W1"] * len(row)}), "labels differ from those of predict"),
    ],
)
def test_wrong_answers_end_it(benchmark, server, answer, message):
    server.answer = answer
    with pytest.raises(SystemExit, match=message):
        benchmark.load_test(server.server_address[1], ROWS, EXPECTED, 3)


def test_the_padded_contender_gives_the_same_labels(benchmark, tmp_path):
    model = benchmark.save_tagger(tmp_path / "tagger.ckpt", 4)
    padded = benchmark.Padded(str(tmp_path / "tagger.ckpt"))
    padded.setup("cpu")
    rows = benchmark.sentences(20)
    ids = padded.batch([padded.decode_request({"row": row}) for row in rows])
    found = [padded.encode_response(labels) for labels in padded.unbatch(padded.predict(ids))]
    assert found == [{"tags": line["tags"]} for line in model.predict(rows)]


@pytest.mark.slow
@pytest.mark.usefixtures("loopback")
def test_small(benchmark, tmp_path):
    small = ("--clients", 1, 4, "--requests", 40, "--rounds", 1, "--hidden_size", 4)
    done = processes.run(benchmark.__file__, *small, "--output", tmp_path / "serve.json", cwd=tmp_path)
    found = json.loads((tmp_path / "serve.json").read_text())
    assert found["results"].keys() == {"1", "4"}
    for contenders in found["results"].values():
        assert contenders.keys() == benchmark.CONTENDERS.keys()
    assert done.stdout.count("| padded |") == 2
