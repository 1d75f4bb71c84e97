"""Measure the way from a dataset on disk to a packed batch: seqkit compared with the usual ways.

    python examples/benchmarks/collate.py [--repeats 30] [--large 2.0] [--output FILE]

Isolates the way from a file to a batch, without any training. Batches hold 64 sequences of log-normal lengths
(median 20): token ids with a label each, and features (T, 80). All contenders read the same rows of the same
memory-mapped Arrow file. First a check shows that they return the same packed tensors. They run in turns of ten
batches, in random order; the median and the quartiles are reported. "memory copy" copies the bytes of other rows,
equally many, from the file into new memory. ``--large`` writes a dataset of so many GB, trains a GRU on all of it
with ``SequenceDataModule`` and reports the growth of the process's own memory (without the page cache; Linux
only).
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from measuring import in_turns, options, setting, write_json
from sections.data import rates_table
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from seqkit import Regressor, SequenceDataModule
from seqkit.cli import without_noise
from seqkit.data import PackCollate, RaggedRows
from seqkit.nn import GRU

BATCH, TURN = 64, 10


def lengths_of(rows: int) -> np.ndarray:
    """Draw lengths (rows,): log-normal, median 20, 1 to 500."""
    return np.random.default_rng(0).lognormal(3, 0.7, rows).clip(1, 500).astype(np.int64)


def lists(values: pa.Array, lengths: np.ndarray) -> pa.Array:
    """Cut values into lists, row after row."""
    return pa.LargeListArray.from_arrays(np.concatenate([[0], lengths.cumsum()]), values)


def on_disk(table: pa.Table, folder: Path) -> Dataset:
    """Write a table to disk and return it as a memory-mapped dataset of several record batches."""
    file = folder / f"{time.monotonic_ns()}.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=20_000)
    return Dataset.from_file(str(file))


def token_ids(rows: int, folder: Path) -> Dataset:
    """Make token ids with a label each."""
    lengths, random = lengths_of(rows), np.random.default_rng(1)
    ids = pa.array(random.integers(0, 30_000, lengths.sum(), dtype=np.int32))
    tags = pa.array(random.integers(0, 17, lengths.sum(), dtype=np.int32))
    return on_disk(pa.table({"x": lists(ids, lengths), "y": lists(tags, lengths)}), folder)


def features(rows: int, folder: Path) -> Dataset:
    """Make vectors of 80 floats."""
    lengths = lengths_of(rows)
    values = pa.array(np.random.default_rng(1).standard_normal(int(lengths.sum()) * 80, dtype=np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(values, 80)
    return on_disk(pa.table({"x": lists(vectors, lengths)}), folder)


def usual(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Read rows as Python lists, turn them into tensors, and call ``pack_sequence`` for each column."""
    examples = [dataset[row] for row in rows]
    dtype = torch.float32 if isinstance(examples[0]["x"][0], list) else torch.int64
    return [
        pack_sequence([torch.tensor(e[c], dtype=dtype) for e in examples], enforce_sorted=False) for c in columns
    ]


def tensors(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Read the batch with ``with_format("torch")``, then call ``pack_sequence``."""
    batch = dataset[rows]
    return [pack_sequence(list(batch[column]), enforce_sorted=False) for column in columns]


def collated(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Read the batch as `datasets` decodes it, then call PackCollate."""
    batch = PackCollate(columns)(dataset[rows])
    return [batch.inputs[column] for column in columns]


def gathered(ragged: RaggedRows, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Gather the batch from Arrow, the default of seqkit."""
    batch = ragged[rows]
    return [batch.inputs[column] for column in columns]


def in_batches(function: Callable[[int], object]) -> Iterator[None]:
    """Call a function for ten batches between two steps of the iterator, as a loader asks for them."""
    for turn in itertools.count():
        for number in range(turn * TURN, (turn + 1) * TURN):
            function(number)
        yield


def measure(dataset: Dataset, repeats: int) -> dict[str, Any]:
    """Return the tokens a second of all contenders on one dataset."""
    columns = dataset.column_names
    ragged = RaggedRows(dataset, columns)
    random = np.random.default_rng(2)
    batches = [random.integers(0, len(dataset), BATCH).tolist() for _ in range((repeats + 1) * TURN)]
    contenders = {
        "rows, tensors, pack_sequence": partial(usual, dataset, columns),
        'with_format("torch"), pack_sequence': partial(tensors, dataset.with_format("torch"), columns),
        "seqkit PackCollate on examples": partial(collated, dataset, columns),
        "seqkit RaggedRows": partial(gathered, ragged, columns),
    }
    expected = contenders["rows, tensors, pack_sequence"](batches[0])
    for name, contender in contenders.items():
        for found, wanted in zip(contender(batches[0]), expected, strict=True):
            # The order of equally long sequences may differ.
            same = torch.equal(found.batch_sizes, wanted.batch_sizes) and torch.allclose(
                found.data.double().sum(), wanted.data.double().sum()
            )
            if not same:
                raise SystemExit(f"{name} returns another batch, so the times cannot be compared")
    tokens = [int(ragged.lengths[rows].sum()) for rows in batches]
    others = [random.integers(0, len(dataset), BATCH).tolist() for _ in batches]  # rows that are in no cache
    pieces = [[_values(dataset.data.column(c), row) for c in columns for row in rows] for rows in others]
    width = sum(map(len, pieces[0])) / int(ragged.lengths[others[0]].sum())

    def copy(number: int) -> np.ndarray:
        return np.concatenate(pieces[number])

    functions = {
        name: lambda number, contender=contender: contender(batches[number])
        for name, contender in contenders.items()
    }
    functions["memory copy"] = copy
    turns = {name: partial(next, in_batches(function)) for name, function in functions.items()}
    times = in_turns(turns, repeats, order=np.random.default_rng(0))

    def a_turn(counts: list[float]) -> np.ndarray:
        return np.array(counts).reshape(-1, TURN).sum(1)[1:]

    copied = a_turn([sum(map(len, piece)) / width for piece in pieces])
    rates = {
        name: (copied if name == "memory copy" else a_turn(tokens)) / np.array(seconds)
        for name, seconds in times.items()
    }
    return {
        "tokens/s": {name: np.quantile(rate, [0.5, 0.25, 0.75]).tolist() for name, rate in rates.items()},
        "bytes a token": width,
    }


def _values(column: pa.ChunkedArray, row: int) -> np.ndarray:
    """Return a view of the bytes of a row's numbers in the file."""
    values = column[row].values
    first, length = values.offset, len(values)
    while pa.types.is_fixed_size_list(values.type):
        first, length, values = first * values.type.list_size, length * values.type.list_size, values.values
    size = values.type.bit_width // 8
    return np.frombuffer(values.buffers()[1], np.uint8)[first * size : (first + length) * size]


def own_memory() -> float:
    """Return the MB of memory that belong to this process alone: anonymous pages, no mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


class OwnMemory(lightning.Callback):
    """Record the largest ``own_memory``, at every tenth step."""

    most = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Update the largest value."""
        if trainer.global_step % 10 == 0:
            self.most = max(self.most, own_memory())


def write_large(file: Path, lengths: np.ndarray) -> None:
    """Write features (T, 80) and a number for each row, 10,000 rows at a time."""
    random = np.random.default_rng(1)

    def tables() -> Iterator[pa.Table]:
        for start in range(0, len(lengths), 10_000):
            part = lengths[start : start + 10_000]
            values = pa.array(random.standard_normal(int(part.sum()) * 80, dtype=np.float32))
            mean = pa.array(random.standard_normal(len(part), dtype=np.float32))
            yield pa.table({"x": lists(pa.FixedSizeListArray.from_arrays(values, 80), part), "y": mean})

    parts = tables()
    first = next(parts)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)


@without_noise()
def large(gigabytes: float, folder: Path) -> dict[str, float]:
    """Train a small GRU on each row of a large dataset once; return the growth of memory in MB, and more."""
    lengths = lengths_of(int(gigabytes * 1e9 / 4 / 80 / 25.5))
    file = folder / "large.arrow"
    write_large(file, lengths)
    spec_rows = Dataset.from_file(str(file)).select(range(1000))
    spec = SequenceDataModule(spec_rows, "x", "y", max_tokens=4096).spec
    data = SequenceDataModule(
        Dataset.from_file(str(file)), spec=spec, max_tokens=4096, overlong="truncate", validation_fraction=0
    )
    model = Regressor(spec, encoder=partial(GRU, hidden_size=16), optimizer=partial(torch.optim.SGD, lr=1e-3))
    before, start = own_memory(), time.perf_counter()
    memory = OwnMemory()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[memory],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(model, datamodule=data)
    return {
        "GB on disk": file.stat().st_size / 1e9,
        "rows": len(lengths),
        "steps": trainer.global_step,
        "growth MB": memory.most - before,
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    """Measure and print tables."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--large", type=float, metavar="GB", help="also train on a dataset of so many GB")
    given = parser.parse_args()
    torch.set_num_threads(1)  # like a worker process of a loader
    record = setting("datasets", "pyarrow", "numpy")
    print(record)
    with tempfile.TemporaryDirectory() as folder:
        for title, make in (("token ids with labels", token_ids), ("features (T, 80)", features)):
            found = record[title] = measure(make(given.rows, Path(folder)), given.repeats)
            print(f"\n{rates_table(title, found['tokens/s'])}")
        if given.large:
            record["large"] = large(given.large, Path(folder))
            print("\n" + ", ".join(f"{name} {value:,.1f}" for name, value in record["large"].items()))
    write_json(given.output, record)


if __name__ == "__main__":
    main()
