"""From a dataset on disk to a packed batch: seqkit's ways beside the usual ones, in one run.

    python examples/benchmarks/collate.py [--repeats 30] [--large 2.0] [--json FILE]

Batches of 64 sequences of log-normal lengths (median 20): token ids with a label each, and features (T, 80). All
contenders read the same rows of the same memory-mapped Arrow file and give the same packed tensors, which is
checked first; they take turns of ten batches, and medians are reported with the first and third quartile. "memory
copy" copies the bytes of as many other rows, each from where it lies in the file, one after the other into new
memory. ``--large`` writes a dataset of so many GB, trains a GRU on all of it through ``SequenceDataModule`` and
reports by how much the process's own memory grew (page cache apart; Linux).
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import lightning
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from seqkit import Regressor, SequenceDataModule
from seqkit.data import PackCollate, RaggedRows
from seqkit.nn import GRU

BATCH, TURN = 64, 10


def lengths_of(rows: int) -> np.ndarray:
    """(rows,) log-normal, median 20, 1 to 500."""
    return np.random.default_rng(0).lognormal(3, 0.7, rows).clip(1, 500).astype(np.int64)


def lists(values: pa.Array, lengths: np.ndarray) -> pa.Array:
    """Values row after row as lists."""
    return pa.LargeListArray.from_arrays(np.concatenate([[0], lengths.cumsum()]), values)


def on_disk(table: pa.Table, folder: Path) -> Dataset:
    """The table as a memory-mapped dataset of several record batches."""
    file = folder / f"{time.monotonic_ns()}.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=20_000)
    return Dataset.from_file(str(file))


def token_ids(rows: int, folder: Path) -> Dataset:
    """Ids and a label for each."""
    lengths, random = lengths_of(rows), np.random.default_rng(1)
    ids = pa.array(random.integers(0, 30_000, lengths.sum(), dtype=np.int32))
    tags = pa.array(random.integers(0, 17, lengths.sum(), dtype=np.int32))
    return on_disk(pa.table({"x": lists(ids, lengths), "y": lists(tags, lengths)}), folder)


def features(rows: int, folder: Path) -> Dataset:
    """Vectors of 80 floats."""
    lengths = lengths_of(rows)
    values = pa.array(np.random.default_rng(1).standard_normal(int(lengths.sum()) * 80, dtype=np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(values, 80)
    return on_disk(pa.table({"x": lists(vectors, lengths)}), folder)


def usual(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Rows as Python lists, to tensors, to ``pack_sequence`` column by column."""
    examples = [dataset[row] for row in rows]
    dtype = torch.float32 if isinstance(examples[0]["x"][0], list) else torch.int64
    return [
        pack_sequence([torch.tensor(e[c], dtype=dtype) for e in examples], enforce_sorted=False) for c in columns
    ]


def tensors(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """The batch at once through ``with_format("torch")``, then ``pack_sequence``."""
    batch = dataset[rows]
    return [pack_sequence(list(batch[column]), enforce_sorted=False) for column in columns]


def collated(dataset: Dataset, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """The batch at once, decoded by the library, then seqkit's PackCollate."""
    batch = PackCollate(columns)(dataset[rows])
    return [batch.inputs[column] for column in columns]


def gathered(ragged: RaggedRows, columns: list[str], rows: list[int]) -> list[PackedSequence]:
    """Straight from Arrow: seqkit's default."""
    batch = ragged[rows]
    return [batch.inputs[column] for column in columns]


def in_turns(functions: dict[str, Callable[[int], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each function for each turn of ten batches, as a loader asks for them one after the other."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    random = np.random.default_rng(0)
    for turn in range(repeats + 1):
        for name in random.permutation(list(functions)).tolist():
            start = time.perf_counter()
            for number in range(turn * TURN, (turn + 1) * TURN):
                functions[name](number)
            if turn:  # the first one warms up
                times[name].append(time.perf_counter() - start)
    return times


def measure(dataset: Dataset, repeats: int) -> dict[str, Any]:
    """All contenders on one dataset: tokens a second."""
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
            # Which of equally long sequences comes first is up to each.
            same = torch.equal(found.batch_sizes, wanted.batch_sizes) and torch.allclose(
                found.data.double().sum(), wanted.data.double().sum()
            )
            if not same:
                raise SystemExit(f"{name} gives another batch: nothing to compare")
    tokens = [int(ragged.lengths[rows].sum()) for rows in batches]
    others = [random.integers(0, len(dataset), BATCH).tolist() for _ in batches]  # rows that no cache holds
    pieces = [[_values(dataset.data.column(c), row) for c in columns for row in rows] for rows in others]
    width = sum(map(len, pieces[0])) / int(ragged.lengths[others[0]].sum())

    def copy(number: int) -> np.ndarray:
        return np.concatenate(pieces[number])

    functions = {
        name: lambda number, contender=contender: contender(batches[number])
        for name, contender in contenders.items()
    }
    times = in_turns(functions | {"memory copy": copy}, repeats)

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
    """The bytes of a row's numbers where they lie in the file."""
    values = column[row].values
    first, length = values.offset, len(values)
    while pa.types.is_fixed_size_list(values.type):
        first, length, values = first * values.type.list_size, length * values.type.list_size, values.values
    size = values.type.bit_width // 8
    return np.frombuffer(values.buffers()[1], np.uint8)[first * size : (first + length) * size]


def own_memory() -> float:
    """MB of memory that this process alone holds: anonymous pages, no files mapped."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


class OwnMemory(lightning.Callback):
    """The most that the process itself ever holds, looked at every ten steps."""

    most = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Look."""
        if trainer.global_step % 10 == 0:
            self.most = max(self.most, own_memory())


def large(gigabytes: float, folder: Path) -> dict[str, float]:
    """Trains a small GRU on each row of a large dataset once; the growth of the process's own memory in MB."""
    lengths = lengths_of(int(gigabytes * 1e9 / 4 / 80 / 25.5))

    def tables() -> Iterator[pa.Table]:
        random = np.random.default_rng(1)
        for start in range(0, len(lengths), 10_000):
            part = lengths[start : start + 10_000]
            values = pa.array(random.standard_normal(int(part.sum()) * 80, dtype=np.float32))
            mean = pa.array(random.standard_normal(len(part), dtype=np.float32))
            yield pa.table({"x": lists(pa.FixedSizeListArray.from_arrays(values, 80), part), "y": mean})

    file = folder / "large.arrow"
    parts = tables()
    first = next(parts)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)
    del first, part
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
    """Measures and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--large", type=float, metavar="GB", help="train from a dataset of so many GB, too")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    given = parser.parse_args()
    torch.set_num_threads(1)  # one process of a loader
    record: dict[str, Any] = {
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"torch": torch.__version__, "datasets": datasets.__version__, "pyarrow": pa.__version__},
    }
    print(record)
    with tempfile.TemporaryDirectory() as folder:
        for title, make in (("token ids with labels", token_ids), ("features (T, 80)", features)):
            found = record[title] = measure(make(given.rows, Path(folder)), given.repeats)
            ours = found["tokens/s"]["seqkit RaggedRows"][0]
            print(
                f"\n{title}, B = {BATCH}\n\n| | tokens/s | quartiles | seqkit RaggedRows is |\n|---|---:|---:|---:|"
            )
            for name, (middle, low, high) in found["tokens/s"].items():
                print(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} | {ours / middle:.2f} times |")
        if given.large:
            record["large"] = large(given.large, Path(folder))
            print("\n" + ", ".join(f"{name} {value:,.1f}" for name, value in record["large"].items()))
    if given.json:
        given.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
