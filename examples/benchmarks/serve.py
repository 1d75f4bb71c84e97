"""Compare how a server batches: requests a second, and how long clients wait for an answer.

    python examples/benchmarks/serve.py [--clients 1 16 64] [--requests 2000] [--output FILE]

Isolates what happens between a request and the model: the same tagger (two LSTM layers of one direction) behind
LitServe, and clients on the same machine, each of which sends the next sentence as soon as it has the answer to the
last one. Lengths are log-normal, as those of sentences. "seqkit serve" predicts what waits as one packed batch.
"one request at a time" is the same server with a budget that a single request fills. "padded" is a server as
LitServe's documentation shows it: batches of up to 64 requests that arrive within 5 ms, padded to the longest,
through torch's own LSTM; in one direction, padding at the end changes no result. Every answer is compared with
`model.predict`, so a lost or mixed-up one ends the benchmark. Weights are random: they change no figure.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from lightning.pytorch import Trainer
from litserve import LitAPI, LitServer
from measuring import options, setting, write_json
from sections.serving import serving_table
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from seqkit import SequenceDataModule, Tagger
from seqkit.data.encoders import input_encoder
from seqkit.nn import LSTM, Embedding
from seqkit.serve import serve

WORDS, TAGS = 20_000, 17
Row = list[str]


def sentences(count: int) -> list[Row]:
    """Draw sentences of 1 to 159 words, as long as those of a corpus."""
    random = np.random.default_rng(0)
    lengths = random.lognormal(2.4, 0.9, count).clip(1, 159).astype(int)
    return [[f"word{i}" for i in random.integers(0, WORDS, n)] for n in lengths]


def save_tagger(path: Path, hidden_size: int) -> Tagger:
    """Save the checkpoint of a tagger with random weights, and return the tagger."""
    words = [f"word{i}" for i in range(WORDS)]
    rows = Dataset.from_dict({"words": [words], "tags": [[f"tag{i % TAGS}" for i in range(WORDS)]]})
    data = SequenceDataModule(rows, inputs="words", targets="tags", max_tokens=WORDS, validation_fraction=0)
    torch.manual_seed(0)
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=100),
        encoder=partial(LSTM, hidden_size=hidden_size, num_layers=2),
        causal=True,
    )
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return model


class Padded(LitAPI):
    """Pad the requests of a batch to the longest one, as examples of servers do."""

    def __init__(self, checkpoint: str) -> None:
        super().__init__(max_batch_size=64, batch_timeout=0.005)
        self.checkpoint = checkpoint

    def setup(self, device: str) -> None:
        """Load the weights into torch's own layers."""
        model = Tagger.load_from_checkpoint(self.checkpoint, map_location=device)
        self.words = input_encoder(model.spec, "words")
        self.names = model.labels.names
        self.embedding = nn.Embedding.from_pretrained(model.embeddings[0].weight.detach())
        layer = model.encoder
        self.lstm = nn.LSTM(layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True)
        self.lstm.load_state_dict(layer.state_dict())
        self.head = model.head

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        """Return the ids of a sentence."""
        return torch.tensor(self.words.encode([request["row"]])[0])

    def batch(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the list: sentences have different lengths."""
        return inputs

    @torch.inference_mode()
    def predict(self, x: list[torch.Tensor]) -> list[list[int]]:
        """Return the label of each word."""
        hidden, _ = self.lstm(self.embedding(pad_sequence(x, batch_first=True)))
        labels = self.head(hidden).argmax(-1)
        return [row[: len(ids)].tolist() for row, ids in zip(labels, x, strict=True)]

    def unbatch(self, output: list[list[int]]) -> list[list[int]]:
        """Return one list for each request."""
        return output

    def encode_response(self, output: list[int]) -> dict[str, list[str]]:
        """Return the names of the labels."""
        return {"tags": [self.names[i] for i in output]}


def serve_padded(checkpoint: str, *, port: int) -> None:
    """Serve the padded contender."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background ignores it
    server = LitServer(Padded(checkpoint), accelerator="cpu", disable_openapi_url=True)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="error", generate_client_file=False)


CONTENDERS: dict[str, Callable[..., None]] = {
    "seqkit serve": serve,
    "one request at a time": partial(serve, max_tokens=1),
    "padded": serve_padded,
}


@contextmanager
def running(contender: Callable[..., None], checkpoint: Path) -> Iterator[int]:
    """Run a server in another process, and yield its port when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = multiprocessing.get_context("spawn").Process(
        target=contender, args=(str(checkpoint),), kwargs={"port": port}
    )
    process.start()
    try:
        while not _is_ready(port):
            if not process.is_alive():
                raise SystemExit("a server has not started")
            time.sleep(0.1)
        yield port
    finally:
        _stop(process)


def _is_ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _stop(process: Any) -> None:
    os.kill(process.pid, signal.SIGINT)  # LitServe has no handler of SIGTERM
    process.join(60)


def load_test(port: int, rows: Sequence[Row], expected: Sequence[list[str]], clients: int) -> dict[str, float]:
    """Send every row once, from several clients at the same time.

    Args:
        port: The server's.
        rows: The sentences.
        expected: The labels of each.
        clients: The number of clients; each waits for an answer before it sends its next request.

    Returns:
        ``requests/s``, and the median and the 99th percentile of the clients' waits in ms, ``p50`` and ``p99``.

    Raises:
        SystemExit: An answer is missing or is another row's.
    """
    left, waits = iter(range(len(rows))), [0.0] * len(rows)
    wrong: list[int] = []  # rows
    changed: list[int] = []  # the number of other labels of each row
    lock, ready = threading.Lock(), threading.Barrier(clients + 1)

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.connect()
        ready.wait()
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                break
            start = time.perf_counter()
            connection.request(
                "POST", "/predict", json.dumps({"row": rows[i]}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = response.read()
            waits[i] = time.perf_counter() - start
            found = json.loads(answer)["tags"] if response.status == 200 else []
            if len(found) != len(expected[i]):
                wrong.append(i)
            changed.append(sum(a != b for a, b in zip(found, expected[i], strict=False)))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if wrong or not all(waits):
        raise SystemExit(f"{len(wrong)} answers of {len(rows)} are wrong, {waits.count(0.0)} are missing")
    if sum(changed) > 1e-4 * sum(map(len, expected)):  # rounding may decide between two labels
        raise SystemExit(f"{sum(changed)} labels differ from those of predict")
    p50, p99 = np.percentile(waits, [50, 99])
    return {"requests/s": len(rows) / seconds, "p50": 1e3 * float(p50), "p99": 1e3 * float(p99)}


def measure(given: argparse.Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures by number of clients and contender: medians of the rounds."""
    checkpoint = folder / "tagger.ckpt"
    model = save_tagger(checkpoint, given.hidden_size)
    rows = sentences(given.requests)
    expected = [found["tags"] for found in model.predict(rows)]
    rounds: dict[tuple[int, str], list[dict[str, float]]] = {
        each: [] for each in itertools.product(given.clients, CONTENDERS)
    }
    for _, (name, contender) in itertools.product(range(given.rounds), CONTENDERS.items()):
        with running(contender, checkpoint) as port:  # one server at a time, the contenders in turn
            load_test(port, rows[:50], expected[:50], 1)  # not counted
            for clients in given.clients:
                rounds[clients, name].append(load_test(port, rows, expected, clients))
    return {
        str(clients): {name: summary(rounds[clients, name]) for name in CONTENDERS} for clients in given.clients
    }


def summary(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure, and the slowest and the fastest round."""
    rates = [one["requests/s"] for one in figures]
    medians = {name: float(np.median([one[name] for one in figures])) for name in figures[0]}
    return medians | {"slowest": min(rates), "fastest": max(rates)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--requests", type=int, default=2000, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server, in turn")
    parser.add_argument("--hidden_size", type=int, default=256)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given, Path(folder))
    print(serving_table(found))
    size = {"requests": given.requests, "hidden size": given.hidden_size}
    write_json(given.output, setting("litserve", "uvicorn") | size | {"results": found})


if __name__ == "__main__":
    main()
