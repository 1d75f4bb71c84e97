"""Compare the batches of a stream with the plan of the whole dataset: waste, steps, rows a second.

    python examples/benchmarks/stream.py [--rows 100000] [--output FILE]

Isolates how batches are formed: rows are read and packed, nothing is trained. Lengths are log-normal (like
sentences), and one column of token ids is in parquet files. Every contender packs all rows, and a check counts
them. "one by one" packs batches of equally many rows in the order of the stream, without bucketing.
"""

import tempfile
import time
from collections.abc import Iterable

import numpy as np
from datasets import Dataset, load_dataset
from measuring import options, setting, write_json
from sections.data import stream_table

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, PackedStream, RaggedRows

SHARDS, MAX_TOKENS = 16, 1024


def measure(batches: Iterable[Batch], rows: int) -> dict[str, float]:
    """Return waste, steps and rows a second of an epoch."""
    tokens = area = steps = seen = 0
    start = time.perf_counter()
    for batch in batches:
        packed = batch.inputs["x"]
        tokens, area = tokens + len(packed.data), area + int(packed.batch_sizes[0]) * len(packed.batch_sizes)
        steps, seen = steps + 1, seen + len(batch.rows)
    if seen != rows:
        raise SystemExit(f"{seen} rows in the batches, but {rows} in the dataset")
    return {"waste": 1 - tokens / area, "steps": steps, "rows/s": rows / (time.perf_counter() - start)}


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    lengths = np.random.default_rng(0).lognormal(2.4, 0.9, given.rows).clip(1, 159).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.from_dict({"x": [[1] * n for n in lengths]})
        for shard in range(SHARDS):
            dataset.shard(SHARDS, shard).to_parquet(f"{folder}/{shard}.parquet")
        files = {"data_files": f"{folder}/*.parquet", "split": "train"}
        stream = load_dataset("parquet", streaming=True, **files)
        rows = RaggedRows(load_dataset("parquet", cache_dir=f"{folder}/cache", **files), ["x"])
        plan = LengthBucketSampler(rows.lengths, max_tokens=MAX_TOKENS)
        size = round(plan.sequences_per_step)
        found = {"planned, whole dataset": measure((rows[batch] for batch in plan), given.rows)}
        for batches in (50, 200):
            pooled = PackedStream(stream, ["x"], max_tokens=MAX_TOKENS, pool=batches * size)
            found[f"stream, pool of {batches} batches"] = measure(pooled, given.rows)
        collate = PackCollate("x")
        found["stream, one by one"] = measure(map(collate, stream.iter(batch_size=size)), given.rows)
    print(stream_table(found))
    write_json(given.output, setting("datasets") | {"results": found})


if __name__ == "__main__":
    main()
