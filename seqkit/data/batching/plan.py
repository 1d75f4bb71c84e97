"""Which lengths share a batch: bucket boundaries by dynamic programming, batch sizes under a budget.

Rows stand sorted, longest first; a *position* is a place in that order and a bucket is a range of positions.
Everything here is a pure function of the histogram of lengths.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NODES = 512  # places where a bucket may start; with no more rows than that, the plan is the exact optimum
_GIANTS = 64  # the longest rows, between any of which a bucket may end
_BUCKETS = 64  # at most, where the number is not given


@dataclass(frozen=True)
class StepCost:
    """Time that a recurrent net takes for one batch: ``per_step·T + per_token·N + per_batch``, in any unit.

    The serial part is what bucketing can save: a step of time costs the same for one sequence as for many until
    the machine is full. The tokens cost the same in whichever batch they are. The defaults were measured with
    ``examples/benchmarks/cost.py`` (bidirectional LSTM of 200 units a direction, two CPU cores); on machines that
    run more in parallel ``per_token`` is less, which changes no plan.

    Attributes:
        per_step: For each time step of the batch's longest sequence.
        per_token: For each token.
        per_batch: For each batch, whatever is in it.
    """

    per_step: float = 1.0
    per_token: float = 0.8
    per_batch: float = 90.0

    def __call__(self, longest: Ints, tokens: Ints) -> Floats:
        """Cost of batches given their longest length and number of tokens (any shape)."""
        return self.per_step * longest + self.per_token * tokens + self.per_batch


@dataclass(frozen=True)
class Histogram:
    """The lengths of all rows, longest first, as runs of equal ones.

    Attributes:
        values: (U,) the different lengths, descending.
        starts: (U + 1,) position where each run starts; the last is the number of rows.
        tokens: (U + 1,) number of tokens before each run; the last is the number of tokens.
    """

    values: Ints
    starts: Ints
    tokens: Ints

    @classmethod
    def of(cls, values: Ints, counts: Ints) -> "Histogram":
        """From different lengths in descending order and how many rows have each."""
        zero = np.zeros(1, np.int64)
        return cls(
            values,
            np.concatenate([zero, np.cumsum(counts)]),
            np.concatenate([zero, np.cumsum(values * counts)]),
        )

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all rows."""
        return int(self.tokens[-1])

    def lengths(self, positions: Ints) -> Ints:
        """Length of the row at each position."""
        return self.values[np.searchsorted(self.starts, positions, "right") - 1]

    def tokens_before(self, positions: Ints) -> Ints:
        """Number of tokens of the rows before each position (0 up to and including the number of rows)."""
        run = np.minimum(np.searchsorted(self.starts, positions, "right") - 1, self.values.size - 1)
        before: Ints = self.tokens[run] + (positions - self.starts[run]) * self.values[run]
        return before

    def position_within(self, tokens: Ints) -> Ints:
        """Number of rows, from the longest on, that have together at most so many tokens.

        Past the last row it counts on as if the shortest length went on for ever.
        """
        run = np.searchsorted(self.tokens[:-1], tokens, "right") - 1
        position: Ints = self.starts[run] + (tokens - self.tokens[run]) // self.values[run]
        return position


@dataclass(frozen=True)
class Budget:
    """How much one local batch may hold.

    Attributes:
        max_tokens: Cap on the packed tokens or on the padded area; None for no cap.
        max_sequences: Cap on the sequences; None for no cap.
        kind: What ``max_tokens`` counts: ``"packed"`` the tokens, ``"padded"`` sequences × longest.
        multiple: Round the number of sequences down to a multiple of this, where it is not less already.
    """

    max_tokens: int | None
    max_sequences: int | None
    kind: Literal["packed", "padded"] = "packed"
    multiple: int = 1

    def sequences(self, histogram: Histogram, positions: Ints) -> Ints:
        """Number of sequences that fit, whichever rows they are, from each position on; at least 1.

        Any rows at or after a position weigh at most what the first ones there weigh, so a size at which the
        first ones fit is a hard cap.
        """
        most = np.full(positions.shape, np.iinfo(np.int64).max)
        if self.max_tokens is not None and self.kind == "padded":
            most = self.max_tokens // histogram.lengths(positions)
        elif self.max_tokens is not None:
            most = histogram.position_within(histogram.tokens_before(positions) + self.max_tokens) - positions
        if self.max_sequences is not None:
            most = np.minimum(most, self.max_sequences)
        sizes: Ints = np.where(most > self.multiple, most - most % self.multiple, np.maximum(most, 1))
        return sizes


@dataclass(frozen=True)
class Buckets:
    """A plan of global batches: each comes from one bucket and has that bucket's number of sequences.

    Only the very last global batch of the last bucket, the one of the shortest rows, may have fewer.

    Attributes:
        starts: (K + 1,) position where each bucket starts; the last is the number of rows.
        sequences: (K,) sequences in a local batch.
        world: Number of local batches in a global one.
    """

    starts: Ints
    sequences: Ints
    world: int

    @property
    def global_sequences(self) -> Ints:
        """(K,) sequences in a global batch."""
        return self.sequences * self.world

    @property
    def rows(self) -> Ints:
        """(K,) rows in each bucket."""
        return np.diff(self.starts)

    @property
    def steps(self) -> Ints:
        """(K,) global batches in each bucket."""
        return -(-self.rows // self.global_sequences)

    @property
    def num_steps(self) -> int:
        """Number of global batches."""
        return int(self.steps.sum())

    def split(self, bucket: int) -> "Buckets":
        """The same plan with the first global batch of a bucket, its heaviest, as a bucket of its own."""
        size = int(self.global_sequences[bucket])
        if self.rows[bucket] <= size:
            return self
        starts = np.insert(self.starts, bucket + 1, self.starts[bucket] + size)
        return Buckets(starts, np.insert(self.sequences, bucket, self.sequences[bucket]), self.world)

    def cost(self, histogram: Histogram, cost: StepCost) -> float:
        """Cost of the plan: of each global batch as if its longest row were the longest of its bucket."""
        serial = cost.per_step * histogram.lengths(self.starts[:-1]) + cost.per_batch
        return float(self.steps @ serial + cost.per_token * histogram.num_tokens / self.world)


def plan_buckets(
    histogram: Histogram,
    budget: Budget,
    cost: StepCost,
    *,
    world: int = 1,
    mixing: int = 1,
    num_buckets: int | None = None,
    slack: float = 0.0,
) -> Buckets:
    """The fewest buckets whose cost is within ``slack`` of the least; that of the tokens, equal for all, apart.

    Every bucket but the last holds a whole number of global batches, so its boundary may fall between rows of
    equal length, and at least ``mixing`` of them, so that its rows meet others each epoch (the last one too,
    unless it is the only one). Under these rules the result is optimal for up to 512 rows; beyond, buckets
    end near one of 512 places spaced evenly over the steps of the epoch.

    Args:
        histogram: Lengths of all rows.
        budget: What a local batch may hold.
        cost: What is minimised.
        world: Local batches in a global one.
        mixing: Least number of global batches in a bucket.
        num_buckets: Largest number of buckets; by default 64.
        slack: What a coarser plan, which shuffles more, may cost beyond the least, as a fraction of it (without
            the tokens' part).
    """
    rows, layers = histogram.num_rows, _BUCKETS if num_buckets is None else num_buckets
    nodes = _nodes(histogram, budget)
    place = np.zeros((nodes.size, layers), np.int64)  # where the best path to a node stands, at it or before
    paid = np.full(place.shape, np.inf)  # by that path, with as many buckets as the layer's number
    bound = paid.copy()  # the same, and what it owes for the rows up to the node
    whole = paid.copy()  # cost of the plan whose last bucket starts there
    origin = place.copy()  # node before, one layer up
    paid[0, 0] = 0.0
    for node in range(nodes.size):
        reached = np.flatnonzero(paid[node] < np.inf)
        if not reached.size:
            continue
        here = slice(reached[0], reached[-1] + 1)
        start, before = place[node, here], paid[node, here]
        size = budget.sequences(histogram, start) * world
        step = cost.per_step * histogram.lengths(start) + cost.per_batch
        rest = -(-(rows - start) // size)
        whole[node, here] = np.where((rest >= mixing) | (start == 0), before + rest * step, np.inf)

        # All paths on to all nodes to come, by whole batches: as many as end at that node or before.
        come, below = slice(node + 1, None), slice(here.start + 1, min(here.stop + 1, layers))
        paths = slice(below.stop - below.start)
        gap = nodes[come, None] - start[paths].astype(np.float64)  # floats are divided several times faster
        count = np.floor(gap / size[paths])
        left = gap - count * size[paths]
        total = before[paths] + count * step[paths]
        owing = total + left * (step / size)[paths]
        # Batches that end at an earlier node are that node's.
        new = (left < np.diff(nodes[node:])[:, None]) & (count >= mixing)
        better = new & (owing < bound[come, below])
        np.copyto(bound[come, below], owing, where=better)
        np.copyto(paid[come, below], total, where=better)
        np.copyto(place[come, below], nodes[come, None] - left, where=better, casting="unsafe")
        np.copyto(origin[come, below], node, where=better)
    costs = whole.min(0)
    last = int(np.flatnonzero(costs <= (1 + slack) * costs.min())[0])
    at_node = int(whole[:, last].argmin())
    starts = [rows]
    for above in range(last, -1, -1):
        starts.append(int(place[at_node, above]))
        at_node = int(origin[at_node, above])
    edges = np.array(starts[::-1])
    return Buckets(edges, budget.sequences(histogram, edges[:-1]), world)


def _nodes(histogram: Histogram, budget: Budget) -> Ints:
    """Ascending positions where a bucket may start, the first 0: all, or evenly spaced over the steps.

    The first few are always among them: a bucket of giants ends right after them.
    """
    rows = histogram.num_rows
    if rows <= _NODES:
        return np.arange(rows)
    steps = np.diff(histogram.starts) / budget.sequences(histogram, histogram.starts[:-1])
    cumulative = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.interp(np.linspace(0, cumulative[-1], _NODES, endpoint=False), cumulative, histogram.starts)
    return np.unique(np.concatenate([np.arange(_GIANTS), places.astype(np.int64)]))
