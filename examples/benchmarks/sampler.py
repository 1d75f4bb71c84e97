"""Compare seqkit's sampler with those that people use today, on millions of rows.

    python examples/benchmarks/sampler.py [--rows 1000000] [--large 10000000 100000000] [--output FILE]

Isolates the sampler: lists of rows, without their data. Lengths are log-normal (median 20, like sentences). Every
contender forms batches of 64 sequences, each time in a new process, so that its memory can be measured. The
contenders take turns, and medians are reported. "build" is the constructor, "first" the time to the first batch
of a new epoch, "epoch" the time to iterate over all of it, "resume" the time to load a state, check that it fits,
and get the first batch, "memory" the growth of the peak. transformers' LengthGroupedSampler and PyTorch-NLP's
BucketBatchSampler are included if they are installed.
"""

import multiprocessing
import resource
import sys
import time
import types
from statistics import median

import numpy as np
import torch
from measuring import options, setting, write_json
from sections.markdown import table

SIZE = 64


def seqkit(lengths, epoch):
    """Return batches of 64 sequences from buckets."""
    from seqkit.data import LengthBucketSampler

    sampler = LengthBucketSampler(lengths, max_sequences=SIZE)
    sampler.set_epoch(epoch)
    return sampler


def seqkit_tokens(lengths, epoch):
    """Return batches from buckets, under a budget of 64 sequences of mean length."""
    from seqkit.data import LengthBucketSampler

    budget = max(int(lengths.max()), SIZE * int(lengths[:100_000].mean()))
    sampler = LengthBucketSampler(lengths, max_tokens=budget)
    sampler.set_epoch(epoch)
    return sampler


def random(lengths, epoch):
    """Return random batches, by torch."""
    generator = torch.Generator().manual_seed(epoch)
    rows = torch.utils.data.RandomSampler(range(len(lengths)), generator=generator)
    return torch.utils.data.BatchSampler(rows, SIZE, drop_last=False)


def transformers(lengths, epoch):
    """Return batches from pools of 50 batches, each sorted by length."""
    from transformers.trainer_pt_utils import LengthGroupedSampler

    generator = torch.Generator().manual_seed(epoch)
    rows = LengthGroupedSampler(SIZE, lengths=lengths.tolist(), generator=generator)
    return torch.utils.data.BatchSampler(rows, SIZE, drop_last=False)


def pytorch_nlp(lengths, epoch):
    """Return batches from pools of 100 batches, each sorted by length; the batches of a pool are shuffled."""
    # Its last release uses a module and a constructor's argument that torch has removed.
    torch.utils.data.Sampler.__init__ = lambda *_: None
    sys.modules.setdefault("torch._six", types.SimpleNamespace(int_classes=int, string_classes=str))
    from torchnlp.samplers import BucketBatchSampler

    rows = torch.utils.data.RandomSampler(range(len(lengths)), generator=torch.Generator().manual_seed(epoch))
    return BucketBatchSampler(rows, SIZE, drop_last=False, sort_key=lengths.tolist().__getitem__)


class Ready:
    """Cut a given order into lists: a lower bound for every sampler that yields lists."""

    def __init__(self, rows):
        self.order = np.random.default_rng(0).permutation(rows)

    def __iter__(self):
        rows = self.order.tolist()
        for start in range(0, len(rows), SIZE):
            yield rows[start : start + SIZE]


def ready(lengths, epoch):  # noqa: ARG001
    """Return batches of a given order."""
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
    """Draw lengths (rows,), int32, log-normal, at least 1; in pieces, so that the peak of the memory stays low."""
    lengths = np.empty(rows, np.int32)
    generator = np.random.Generator(np.random.Philox(0))
    for start in range(0, rows, 1 << 20):
        piece = lengths[start : start + (1 << 20)]
        piece[:] = np.clip(generator.lognormal(3, 0.7, piece.size), 1, 1000)
    return lengths


def peak():
    """Return the largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def measure(name, rows, whole, sender):
    """Measure one contender, in a process of its own."""
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
    """Return what one contender measures in a new process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(name, rows, whole, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def as_table(title, results):
    """Return results as a Markdown table."""
    columns = list({key: None for found in results.values() for key in found})
    rows = [
        [name, *(f"{found[key]:,.4g}" if key in found else "" for key in columns)]
        for name, found in results.items()
    ]
    return table([title, *columns], rows)


def main():
    """Run all contenders and print the tables."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, nargs="*", default=[], help="more numbers of rows, for seqkit only")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    record = setting(*(package for _, package in CONTENDERS.values()))
    print(record)
    rounds = {
        name: [] for name, (_, package) in CONTENDERS.items() if package in record["versions"] or "seqkit" in name
    }
    for _ in range(given.rounds):
        for name, found in rounds.items():
            found.append(run(name, given.rows, True))
    results = {name: {key: median(one[key] for one in found) for key in found[0]} for name, found in rounds.items()}
    print(f"\nseconds, MB; serial: mean length of a batch's longest\n\n{as_table(f'{given.rows:,} rows', results)}")
    large = {f"{rows:,} rows": run("seqkit, token budget", rows, False) for rows in given.large}
    if large:
        print(f"\n{as_table('seqkit alone', large)}")
    write_json(given.output, record | {"rows": given.rows, "results": results, "rounds": rounds, "large": large})


if __name__ == "__main__":
    main()
