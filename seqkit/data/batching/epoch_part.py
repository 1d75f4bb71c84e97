"""The global batches of an epoch, or of the rest of one, each computed when it is needed."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.permutation import Words, index_in_group, permutation_keys, permute
from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost, plan_buckets
from seqkit.data.batching.rank_assignment import assign_evenly, assign_serpentine

Ints = npt.NDArray[np.int64]

_BLOCK_ROWS = 1 << 15  # rows computed at once: a few milliseconds and a megabyte
_MIN_GLOBAL_BATCHES = 2  # in a bucket, so that its rows meet other rows in every epoch
_SLACK = 0.03  # of the least cost: fewer and wider buckets, in which more rows can meet


class GlobalBatches(NamedTuple):
    """Successive global batches.

    Attributes:
        sizes: (S,) number of rows of each.
        positions: (sum of sizes,) sorted positions of their rows, ascending within each global batch.
        lengths: (sum of sizes,) lengths of the rows, descending within each global batch.
        ranks: (sum of sizes,) rank that each row is assigned to.
    """

    sizes: Ints
    positions: Ints
    lengths: Ints
    ranks: Ints


@dataclass(frozen=True)
class EpochPart:
    """The global batches of an epoch, or of the rest of one, for one number of ranks.

    Attributes:
        histogram: Lengths of the rows.
        buckets: The plan.
        keys: (rounds, K + 1) of :func:`permutation_keys`, for the order of the steps and for each bucket; None
            without shuffling.
        first_batch: The global batch, numbered through the buckets, that comes first. Rows are then assigned to
            ranks in serpentine order, so that no rank gets more than the fullest rank of that batch. None: any
            global batch comes first and the ranks' tokens are balanced.
        positions: (M,) sorted positions, among all rows of the epoch, of the rows of this part, ascending; None
            if it has all rows.
    """

    histogram: Histogram
    buckets: Buckets
    keys: Words | None
    first_batch: int | None = None
    positions: Ints | None = None

    @property
    def num_steps(self) -> int:
        """Number of global batches."""
        return self.buckets.num_steps

    def global_batches(self, start: int, stop: int) -> GlobalBatches:
        """Return the global batches of the steps ``start`` to ``stop`` (exclusive)."""
        sizes, index = self._indices(start, stop)
        lengths = self.histogram.lengths(index)
        if self.first_batch is None:
            ranks = assign_evenly(sizes, lengths, self.buckets.world_size)
        else:
            ranks = assign_serpentine(index_in_group(sizes), self.buckets.world_size)
        return GlobalBatches(sizes, index if self.positions is None else self.positions[index], lengths, ranks)

    def blocks(self, start: int = 0) -> Iterator[GlobalBatches]:
        """Yield the global batches from a step on: that step's first, so that it is there at once, then many."""
        if start < self.num_steps:
            yield self.global_batches(start, start + 1)
        steps = self._block_steps()
        for first in range(start + 1, self.num_steps, steps):
            yield self.global_batches(first, min(first + steps, self.num_steps))

    def remaining_index(self, step: int) -> Ints:
        """Return the rows of the steps from ``step`` on, as ascending indices into :attr:`positions`."""
        remaining = np.ones(self.histogram.num_rows, bool)
        steps = self._block_steps()
        for first in range(0, step, steps):
            remaining[self._indices(first, min(first + steps, step))[1]] = False
        return np.flatnonzero(remaining)

    def _block_steps(self) -> int:
        return max(1, _BLOCK_ROWS * self.num_steps // max(1, self.histogram.num_rows))

    def _indices(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the sizes (S,) of the steps' global batches, and their rows as indices into :attr:`positions`."""
        buckets = self.buckets
        offset = np.cumsum(buckets.steps) - buckets.steps
        batch = self._order(np.arange(start, stop))
        if self.first_batch is not None:  # a rotation of a random order is as random
            batch = (batch - self._order(np.zeros(1, np.int64)) + self.first_batch) % self.num_steps
        bucket = np.searchsorted(offset, batch, "right") - 1
        begin = (batch - offset[bucket]) * buckets.global_sequences[bucket]
        sizes = np.minimum(buckets.global_sequences[bucket], buckets.rows[bucket] - begin)
        step = np.repeat(np.arange(sizes.size), sizes)
        bucket = bucket[step]
        member = begin[step] + index_in_group(sizes)
        if self.keys is None:
            return sizes, buckets.starts[bucket] + member
        index = buckets.starts[bucket] + permute(member, buckets.rows[bucket], bucket + 1, self.keys)
        rows = int(buckets.starts[-1])
        return sizes, np.sort(step * rows + index) - step * rows

    def _order(self, step: Ints) -> Ints:
        if self.keys is None:
            return step
        return permute(step, np.full_like(step, self.num_steps), np.zeros_like(step), self.keys)


@dataclass(frozen=True)
class Planner:
    """Plans epochs and parts of epochs.

    Attributes:
        budget: What a local batch may hold.
        cost: What the plan minimises.
        num_buckets: Largest number of buckets; None for the fewest within 3 % of the least cost.
        shuffle: Whether rows and batches are shuffled.
        seed: Seed of the shuffle.
        longest_first: Whether the heaviest global batch comes first.
    """

    budget: Budget
    cost: StepCost
    num_buckets: int | None
    shuffle: bool
    seed: int
    longest_first: bool

    def plan(self, histogram: Histogram, world_size: int) -> Buckets:
        """Return the buckets for rows of these lengths; none if there are no rows."""
        if not histogram.num_rows:
            return Buckets(np.zeros(1, np.int64), np.zeros(0, np.int64), world_size)
        buckets = plan_buckets(
            histogram,
            self.budget,
            self.cost,
            world_size=world_size,
            min_global_batches=_MIN_GLOBAL_BATCHES if self.shuffle else 1,
            num_buckets=self.num_buckets,
            slack=_SLACK if self.shuffle and self.num_buckets is None else 0.0,
        )
        return buckets.split(self._heaviest(histogram, buckets)) if self.longest_first else buckets

    def first_part(self, histogram: Histogram, buckets: Buckets, epoch: int) -> EpochPart:
        """Return the whole epoch."""
        return self._part(histogram, buckets, (self.seed, epoch))

    def next_part(self, part: EpochPart, step: int, world_size: int, epoch: int, consumed: int) -> EpochPart:
        """Plan the rows that ``part`` has left after ``step`` steps, as an epoch of their own.

        Args:
            part: The part before, planned for another number of ranks.
            step: Number of its steps that are consumed.
            world_size: Number of ranks from now on.
            epoch: The epoch, for the shuffle.
            consumed: Number of steps of the epoch that are consumed, at least 1, for the shuffle.
        """
        index = part.remaining_index(step)
        positions = index if part.positions is None else part.positions[index]
        histogram = part.histogram.select(index)
        buckets = self.plan(histogram, world_size)
        return self._part(histogram, buckets, (self.seed, epoch, consumed), positions)

    def settings(self) -> dict[str, Any]:
        """Return all settings as plain types, in one level."""
        settings: dict[str, Any] = dataclasses.asdict(self)
        settings |= settings.pop("budget")
        settings |= settings.pop("cost")
        return settings

    def _part(
        self, histogram: Histogram, buckets: Buckets, entropy: tuple[int, ...], positions: Ints | None = None
    ) -> EpochPart:
        keys = permutation_keys(entropy, buckets.sequences.size + 1) if self.shuffle else None
        first = None
        if self.longest_first and buckets.num_steps:
            first = int(buckets.steps[: self._heaviest(histogram, buckets)].sum())
        return EpochPart(histogram, buckets, keys, first, positions)

    def _heaviest(self, histogram: Histogram, buckets: Buckets) -> int:
        """Return the bucket whose first global batch gives one rank the most that any rank ever gets."""
        loads = []
        for start, size in zip(buckets.starts, buckets.global_sequences, strict=False):
            index = np.arange(min(size, histogram.num_rows - start))
            lengths, rank = histogram.lengths(start + index), assign_serpentine(index, buckets.world_size)
            tokens = np.bincount(rank, lengths)
            area = np.bincount(rank) * lengths[: tokens.size]
            loads.append((tokens if self.budget.kind == "packed" else area).max())
        return int(np.argmax(loads))
