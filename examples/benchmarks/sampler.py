"""Batches of like length at scale: seqkit's sampler beside those that people use today, in one run.

    python examples/benchmarks/sampler.py [--rows 1000000] [--large 10000000 100000000] [--json FILE]

Lengths are log-normal (median 20, like sentences). Every contender forms batches of 64 sequences and runs in a
fresh process of its own, which also tells its memory; rounds are interleaved, medians reported. "build" is the
constructor, "first" the time to the first batch of a new epoch, "epoch" the time to iterate over all of it,
"resume" the time from a loaded state, fingerprints compared, to the first batch, "memory" the growth of the peak.
transformers' LengthGroupedSampler and PyTorch-NLP's BucketBatchSampler take part where they are installed.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
import types
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np
import torch

SIZE = 64


def seqkit(lengths, epoch):
    """Buckets of 64 sequences a batch."""
    from seqkit.data import LengthBucketSampler

    sampler = LengthBucketSampler(lengths, max_sequences=SIZE)
    sampler.set_epoch(epoch)
    return sampler


def seqkit_tokens(lengths, epoch):
    """Buckets under the token budget that makes 64 sequences of mean length."""
    from seqkit.data import LengthBucketSampler

    budget = max(int(lengths.max()), SIZE * int(lengths[:100_000].mean()))
    sampler = LengthBucketSampler(lengths, max_tokens=budget)
    sampler.set_epoch(epoch)
    return sampler


def random(lengths, epoch):
    """No bucketing: torch's own."""
    generator = torch.Generator().manual_seed(epoch)
    rows = torch.utils.data.RandomSampler(range(len(lengths)), generator=generator)
    return torch.utils.data.BatchSampler(rows, SIZE, drop_last=False)


def transformers(lengths, epoch):
    """Pools of 50 batches, each sorted by length."""
    from transformers.trainer_pt_utils import LengthGroupedSampler

    generator = torch.Generator().manual_seed(epoch)
    rows = LengthGroupedSampler(SIZE, lengths=lengths.tolist(), generator=generator)
    return torch.utils.data.BatchSampler(rows, SIZE, drop_last=False)


def pytorch_nlp(lengths, epoch):
    """Pools of 100 batches, each sorted by length, the batches of a pool shuffled."""
    # Its last release relies on a module and on a constructor's argument that torch has dropped.
    torch.utils.data.Sampler.__init__ = lambda *_: None
    sys.modules.setdefault("torch._six", types.SimpleNamespace(int_classes=int, string_classes=str))
    from torchnlp.samplers import BucketBatchSampler

    rows = torch.utils.data.RandomSampler(range(len(lengths)), generator=torch.Generator().manual_seed(epoch))
    return BucketBatchSampler(rows, SIZE, drop_last=False, sort_key=lengths.tolist().__getitem__)


class Ready:
    """Not a sampler: an order that is there already, cut into lists. None that yields lists is faster."""

    def __init__(self, rows):
        self.order = np.random.default_rng(0).permutation(rows)

    def __iter__(self):
        rows = self.order.tolist()
        for start in range(0, len(rows), SIZE):
            yield rows[start : start + SIZE]


def ready(lengths, epoch):  # noqa: ARG001
    """A floor."""
    return Ready(len(lengths))


CONTENDERS = {
    "seqkit": (seqkit, "seqkit-packed"),
    "seqkit, token budget": (seqkit_tokens, "seqkit-packed"),
    "random batches": (random, "torch"),
    "transformers LengthGroupedSampler": (transformers, "transformers"),
    "PyTorch-NLP BucketBatchSampler": (pytorch_nlp, "pytorch-nlp"),
    "a ready order, cut into lists": (ready, "numpy"),
}


def lengths_of(rows):
    """(rows,) int32, log-normal, at least 1; drawn in pieces so that drawing leaves no mark on the memory."""
    lengths = np.empty(rows, np.int32)
    generator = np.random.Generator(np.random.Philox(0))
    for start in range(0, rows, 1 << 20):
        piece = lengths[start : start + (1 << 20)]
        piece[:] = np.clip(generator.lognormal(3, 0.7, piece.size), 1, 1000)
    return lengths


def peak():
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def measure(name, rows, whole, sender):
    """Times of one contender, in a process of its own."""
    contender = CONTENDERS[name][0]
    list(contender(lengths_of(1000), 0))  # imports
    lengths = lengths_of(rows)
    before = peak()
    found = {}
    start = time.perf_counter()
    batches = contender(lengths, 0)
    found["build"] = time.perf_counter() - start
    if name.startswith("seqkit"):
        next(iter(batches))
        batches.set_epoch(1)
    start = time.perf_counter()
    next(iter(batches))
    found["first"] = time.perf_counter() - start
    if whole:
        start = time.perf_counter()
        found["steps"] = sum(1 for _ in batches)
        found["epoch"] = time.perf_counter() - start
    if name.startswith("seqkit"):
        state = batches.state_dict(step=len(batches) // 2)
        del batches
        batches = contender(lengths, 0)
        start = time.perf_counter()
        batches.load_state_dict(state)
        next(iter(batches))
        found["resume"] = time.perf_counter() - start
        batches.set_epoch(2)
    found["memory"] = peak() - before
    if whole:
        tokens = longest = area = 0
        means = []
        for batch in batches:
            sizes = lengths[batch]
            tokens, longest = tokens + int(sizes.sum()), longest + int(sizes.max())
            area += int(sizes.max()) * len(batch)
            means.append(sizes.mean())
        means = np.array(means)
        found |= {
            "waste": 1 - tokens / area,
            "serial": longest / len(means),
            "correlation": float(np.corrcoef(means[1:], means[:-1])[0, 1]),
        }
    sender.send(found)


def run(name, rows, whole):
    """What one contender measures in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(name, rows, whole, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def installed(package):
    """Version of a package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def table(title, results):
    """Prints results as a Markdown table."""
    columns = {key: None for found in results.values() for key in found}
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, found in results.items():
        cells = [f"{found[key]:,.4g}" if key in found else "" for key in columns]
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    """Runs all contenders and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, nargs="*", default=[], help="more numbers of rows, for seqkit alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    versions = {package: installed(package) for _, package in CONTENDERS.values()}
    versions |= {"python": platform.python_version(), "numpy": np.__version__}
    machine = f"{platform.system()} {platform.machine()}, {multiprocessing.cpu_count()} CPUs"
    print(machine, *(f"{package} {version}" for package, version in versions.items() if version), sep="; ")

    rounds = {name: [] for name, (_, package) in CONTENDERS.items() if versions[package] or "seqkit" in name}
    for _ in range(arguments.rounds):
        for name, found in rounds.items():
            found.append(run(name, arguments.rows, True))
    results = {name: {key: median(one[key] for one in found) for key in found[0]} for name, found in rounds.items()}
    table(f"{arguments.rows:,} rows (seconds, MB; serial: mean length of a batch's longest)", results)
    large = {f"{rows:,} rows": run("seqkit, token budget", rows, False) for rows in arguments.large}
    if large:
        table("seqkit alone (seconds, MB beyond the lengths)", large)
    if arguments.json:
        record = {"machine": machine, "versions": versions, "results": results, "rounds": rounds, "large": large}
        arguments.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
