"""Statistics of a plan: waste, balance of the ranks, quality of the shuffle; compared with usual ways to batch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.epoch_part import EpochPart
from seqkit.data.batching.permutation import index_in_group, permutation_keys
from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost

Ints = npt.NDArray[np.int64]

_SAMPLE = 1 << 20  # rows from which random and pooled batches are drawn
_POOL = 50  # batches in a pool that is sorted by length (the number of transformers' LengthGroupedSampler)


class LocalBatches(NamedTuple):
    """Sizes of the local batches of an epoch in the order of its steps, each (steps, ranks).

    Attributes:
        sequences: B of each batch.
        tokens: N of each batch.
        longest: T of each batch; 0 where it is empty.
    """

    sequences: Ints
    tokens: Ints
    longest: Ints

    @property
    def waste(self) -> float:
        """1 − tokens / (B × T), summed over the batches."""
        return 1.0 - float(self.tokens.sum() / (self.sequences * self.longest).sum())

    @property
    def imbalance(self) -> float:
        """The fullest rank's tokens over the ranks' mean, minus 1: the 99th percentile of the steps."""
        return float(np.quantile(self.tokens.max(1) / self.tokens.mean(1), 0.99)) - 1.0

    @property
    def correlation(self) -> float:
        """Pearson correlation of the mean lengths of successive global batches; 0 if it is undefined."""
        mean = self.tokens.sum(1) / self.sequences.sum(1)
        if mean.size < 3 or not (mean[1:].std() and mean[:-1].std()):
            return 0.0
        return float(np.corrcoef(mean[1:], mean[:-1])[0, 1])

    def cost(self, cost: StepCost) -> float:
        """Return the cost of the epoch: each step takes as long as its slowest rank."""
        return float(cost(self.longest, self.tokens).max(1).sum())

    @classmethod
    def from_lengths(cls, lengths: Ints, world_size: int) -> "LocalBatches":
        """Measure batches with equally many sequences, of lengths (steps × ranks, B), a step's ranks together."""
        shape = (-1, world_size)
        size = np.full(lengths.shape[0], lengths.shape[1])
        return cls(size.reshape(shape), lengths.sum(1).reshape(shape), lengths.max(1).reshape(shape))

    @classmethod
    def from_part(cls, part: EpochPart) -> "LocalBatches":
        """Measure the batches of all ranks in an epoch, or in a part of one."""
        world_size = part.buckets.world_size
        blocks = []
        for sizes, _, lengths, ranks in part.blocks():
            count = sizes.size * world_size
            batch = np.repeat(np.arange(sizes.size) * world_size, sizes) + ranks
            first = index_in_group(sizes) < world_size  # the first row that a rank is assigned is its longest
            longest = np.zeros(count, np.int64)
            longest[batch[first]] = lengths[first]
            blocks.append((np.bincount(batch, minlength=count), np.bincount(batch, lengths, count), longest))
        columns = (np.concatenate(column).astype(np.int64) for column in zip(*blocks, strict=True))
        return cls(*(column.reshape(-1, world_size) for column in columns))


def plan_report(part: EpochPart, budget: Budget, cost: StepCost, dropped: Mapping[str, int]) -> dict[str, Any]:
    """Return the statistics of an epoch's plan, as plain types.

    Keys: ``rows``, ``tokens``, ``dropped``, ``steps``, ``buckets`` (each with ``longest``, ``rows``, ``sequences``
    of a local batch and ``steps``), ``tokens_per_step``, ``sequences_per_step``, ``waste``, ``correlation`` of the
    mean lengths of successive steps, ``imbalance`` of the ranks' tokens (99th percentile), ``cost`` per token of
    all ranks, and ``alternatives``: see :func:`alternatives`.
    """
    histogram, buckets, batches = part.histogram, part.buckets, LocalBatches.from_part(part)
    columns = (histogram.lengths(buckets.starts[:-1]), buckets.rows, buckets.sequences, buckets.steps)
    names = ("longest", "rows", "sequences", "steps")
    return {
        "rows": histogram.num_rows,
        "tokens": histogram.num_tokens,
        "dropped": dict(dropped),
        "steps": part.num_steps,
        "buckets": [dict(zip(names, map(int, bucket), strict=True)) for bucket in zip(*columns, strict=True)],
        "tokens_per_step": histogram.num_tokens / part.num_steps,
        "sequences_per_step": histogram.num_rows / part.num_steps,
        "waste": batches.waste,
        "correlation": batches.correlation,
        "imbalance": batches.imbalance,
        "cost": batches.cost(cost) / histogram.num_tokens,
        "alternatives": alternatives(histogram, budget, cost, buckets),
    }


def alternatives(
    histogram: Histogram, budget: Budget, cost: StepCost, buckets: Buckets
) -> dict[str, dict[str, float]]:
    """Return waste, adjacent correlation and cost per token of the usual ways to form batches.

    ``"random"`` and ``"sorted pool"`` (pools of 50 batches sorted by length) use batches with the plan's mean
    number of sequences and ignore the budget. ``"fixed width"`` and ``"quantiles"`` use as many buckets as the
    plan, of equal range of lengths or equal number of rows, and keep the budget. The first two are measured on a
    sample of at most a million rows, and all in a fixed random order.
    """
    world_size = buckets.world_size
    rows = histogram.num_rows
    size = max(1, round(rows / (buckets.num_steps * world_size)))
    random = np.random.Generator(np.random.Philox(0))
    positions = random.integers(rows, size=_SAMPLE) if rows > _SAMPLE else random.permutation(rows)
    lengths = histogram.lengths(positions)
    measured = {}
    whole = lengths.size // (size * world_size) * size * world_size
    if whole:
        measured["random"] = LocalBatches.from_lengths(lengths[:whole].reshape(-1, size), world_size)
        pool = size * world_size * _POOL
        pools = [-np.sort(-lengths[first : min(first + pool, whole)]) for first in range(0, whole, pool)]
        in_pools = np.concatenate(pools).reshape(-1, size)
        measured["sorted pool"] = LocalBatches.from_lengths(in_pools, world_size)
    count = buckets.sequences.size
    edges = np.linspace(histogram.values[0], histogram.values[-1] - 1, count + 1)[:-1]
    cuts = {
        "fixed width": histogram.starts[np.searchsorted(-histogram.values, -edges)],
        "quantiles": np.linspace(0, rows, count + 1)[:-1].astype(np.int64),
    }
    for name, starts in cuts.items():
        starts = np.unique(starts[starts < rows])
        plan = Buckets(np.append(starts, rows), budget.sequences(histogram, starts), world_size)
        keys = permutation_keys((0,), starts.size + 1)
        measured[name] = LocalBatches.from_part(EpochPart(histogram, plan, keys))
    return {
        name: {
            "waste": batches.waste,
            "correlation": batches.correlation,
            "cost": batches.cost(cost) / float(batches.tokens.sum()),
        }
        for name, batches in measured.items()
    }
