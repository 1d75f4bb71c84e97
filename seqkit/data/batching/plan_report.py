"""What a plan of batches is worth: waste, balance of the ranks, quality of the shuffle, beside the usual ways."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost

Ints = npt.NDArray[np.int64]

_SAMPLE = 1 << 20  # rows that random and pooled batches are drawn from to be measured
_POOL = 50  # batches that are sorted together by those who sort pools (transformers' LengthGroupedSampler)


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
        """By how much the fullest rank's tokens exceed the ranks' mean: the 99th percentile of the steps."""
        return float(np.quantile(self.tokens.max(1) / self.tokens.mean(1), 0.99)) - 1.0

    @property
    def correlation(self) -> float:
        """Pearson's, of the mean lengths of successive global batches; 0 where there is nothing to correlate."""
        mean = self.tokens.sum(1) / self.sequences.sum(1)
        if mean.size < 3 or not (mean[1:].std() and mean[:-1].std()):
            return 0.0
        return float(np.corrcoef(mean[1:], mean[:-1])[0, 1])

    def cost(self, cost: StepCost) -> float:
        """Cost of the epoch: each step takes as long as its slowest rank."""
        return float(cost(self.longest, self.tokens).max(1).sum())

    @classmethod
    def of(cls, lengths: Ints, ranks: int) -> "LocalBatches":
        """Batches of equally many sequences: lengths (steps × ranks, B), those of a step one after the other."""
        shape = (-1, ranks)
        size = np.full(lengths.shape[0], lengths.shape[1])
        return cls(size.reshape(shape), lengths.sum(1).reshape(shape), lengths.max(1).reshape(shape))


def alternatives(
    histogram: Histogram, budget: Budget, cost: StepCost, buckets: Buckets
) -> dict[str, dict[str, float]]:
    """Waste, adjacent correlation and cost per token of the usual ways to form batches.

    ``"random"`` and ``"sorted pool"`` (pools of 50 batches sorted by length) take batches of the plan's mean
    number of sequences, whatever tokens that makes; ``"fixed width"`` and ``"quantiles"`` cut as many buckets as
    the plan has, of equal range of lengths or number of rows, and keep its budget. Measured on a sample of up to
    a million rows; the first two in a fixed random order.
    """
    ranks = buckets.world
    rows = histogram.num_rows
    size = max(1, round(rows / (buckets.num_steps * ranks)))
    random = np.random.Generator(np.random.Philox(0))
    positions = random.integers(rows, size=_SAMPLE) if rows > _SAMPLE else random.permutation(rows)
    lengths = histogram.lengths(positions)
    found = {}
    whole = lengths.size // (size * ranks) * size * ranks
    if whole:
        found["random"] = LocalBatches.of(lengths[:whole].reshape(-1, size), ranks)
        pool = size * ranks * _POOL
        pools = [-np.sort(-lengths[first : first + pool]) for first in range(0, whole, pool)]
        found["sorted pool"] = LocalBatches.of(np.concatenate(pools)[:whole].reshape(-1, size), ranks)
    summary = {
        name: {
            "waste": batches.waste,
            "correlation": batches.correlation,
            "cost": batches.cost(cost) / float(batches.tokens.sum()),
        }
        for name, batches in found.items()
    }
    count = buckets.sequences.size
    edges = np.linspace(histogram.values[0], histogram.values[-1] - 1, count + 1)[:-1]
    cuts = {
        "fixed width": histogram.starts[np.searchsorted(-histogram.values, -edges)],
        "quantiles": np.linspace(0, rows, count + 1)[:-1].astype(np.int64),
    }
    for name, starts in cuts.items():
        starts = np.unique(starts)
        plan = Buckets(np.append(starts, rows), budget.sequences(histogram, starts), ranks)
        summary[name] = {"cost": plan.cost(histogram, cost) / histogram.num_tokens}
    return summary
