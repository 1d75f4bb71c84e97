"""A stream's batches beside the plan of the whole dataset: waste, steps, rows a second.

    python examples/benchmarks/stream.py [--rows 100000] [--json FILE]

Log-normal lengths (like sentences), one column of token ids in parquet files; every contender packs all rows once
and the rows are shown to come once each. "one by one" packs batches of as many rows as they come, what a stream
gives without bucketing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from datasets import Dataset, load_dataset

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, PackedStream, RaggedRows

SHARDS, MAX_TOKENS = 16, 1024


def measure(batches: Iterable[Batch], rows: int) -> dict[str, float]:
    """Waste, steps and rows a second of an epoch."""
    tokens = area = steps = seen = 0
    start = time.perf_counter()
    for batch in batches:
        packed = batch.inputs["x"]
        tokens, area = tokens + len(packed.data), area + int(packed.batch_sizes[0]) * len(packed.batch_sizes)
        steps, seen = steps + 1, seen + len(batch.rows)
    if seen != rows:
        raise SystemExit(f"{seen} rows instead of {rows}")
    return {"waste": 1 - tokens / area, "steps": steps, "rows/s": rows / (time.perf_counter() - start)}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
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
    print("| | waste | steps | rows/s |\n|---|---:|---:|---:|")
    for name, row in found.items():
        print(f"| {name} | {row['waste']:.1%} | {row['steps']:,} | {row['rows/s']:,.0f} |")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
