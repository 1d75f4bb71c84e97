"""The plan of batches: bucket boundaries by dynamic programming, batch sizes under a budget.

Rows are sorted by length, longest first. A *position* is an index in that order, a bucket is a range of positions.
Everything here is a pure function of the histogram of lengths.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqkit.options import choice, integer, number, optional_integer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NODES = 512  # positions at which a bucket may start; with at most so many rows, the plan is the exact optimum
_LONGEST = 64  # number of the longest rows after each of which a bucket may end
_MAX_BUCKETS = 64  # if no number is given
BUDGETS = ("packed", "padded")
MAX_BUDGET = 2**40  # sums of it and of a data set's tokens fit int64


@dataclass(frozen=True)
class StepCost:
    """Time that a recurrent model takes for one batch: ``per_step·T + per_token·N + per_batch``, in any unit.

    Bucketing reduces the first term only: batches of similar lengths have fewer time steps in all. With compiled
    layers on a CPU that term is small; it is larger on machines that compute more sequences at once. The cost per
    token does not depend on the batch, so ``per_token`` changes no plan. The defaults were measured with
    ``examples/benchmarks/cost.py`` (bidirectional LSTM with 200 units a direction, two CPU cores).

    Attributes:
        per_step: Cost of each time step of the batch's longest sequence.
        per_token: Cost of each token.
        per_batch: Cost of each batch, whatever its size.
    """

    per_step: float = 1.0
    per_token: float = 0.8
    per_batch: float = 90.0

    def __post_init__(self) -> None:
        for name in ("per_step", "per_token", "per_batch"):
            number(f"StepCost: {name}", getattr(self, name), 0)

    def __call__(self, longest: Ints, tokens: Ints) -> Floats:
        """Return the cost of batches, given their longest length and number of tokens (any shape)."""
        return self.per_step * longest + self.per_token * tokens + self.per_batch


@dataclass(frozen=True)
class Histogram:
    """The lengths of all rows, longest first, as runs of equal lengths.

    Attributes:
        values: (U,) the different lengths, descending.
        starts: (U + 1,) position at which each run starts; the last is the number of rows.
        tokens: (U + 1,) number of tokens before each run; the last is the number of tokens.
    """

    values: Ints
    starts: Ints
    tokens: Ints

    @classmethod
    def from_counts(cls, values: Ints, counts: Ints) -> "Histogram":
        """Make a histogram from the different lengths (U,), descending, and their numbers of rows (U,)."""
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
        """Return the length of the row at each position."""
        return self.values[np.searchsorted(self.starts, positions, "right") - 1]

    def tokens_before(self, positions: Ints) -> Ints:
        """Return the number of tokens of the rows before each position (0 to the number of rows, inclusive)."""
        run = np.minimum(np.searchsorted(self.starts, positions, "right") - 1, self.values.size - 1)
        before: Ints = self.tokens[run] + (positions - self.starts[run]) * self.values[run]
        return before

    def rows_within(self, tokens: Ints) -> Ints:
        """Return how many rows, from the longest on, have together at most so many tokens.

        After the last row it counts further rows of the shortest length.
        """
        run = np.searchsorted(self.tokens[:-1], tokens, "right") - 1
        rows: Ints = self.starts[run] + (tokens - self.tokens[run]) // self.values[run]
        return rows

    def select(self, positions: Ints) -> "Histogram":
        """Return the histogram of the rows at some positions, which are ascending."""
        counts = np.diff(np.searchsorted(positions, self.starts))
        return Histogram.from_counts(self.values[counts > 0], counts[counts > 0])


@dataclass(frozen=True)
class Budget:
    """How much one local batch, the batch of one rank, may hold.

    Attributes:
        max_tokens: Limit on the packed tokens or on the padded area; None for no limit.
        max_sequences: Limit on the number of sequences; None for no limit.
        kind: What ``max_tokens`` counts: ``"packed"`` the tokens, ``"padded"`` sequences × longest.
        multiple: The number of sequences is rounded down to a multiple of this, unless it is smaller already.

    Raises:
        TypeError: A value is not an integer.
        ValueError: There is no limit, a value is below 1, or ``kind`` is unknown.
    """

    max_tokens: int | None
    max_sequences: int | None
    kind: Literal["packed", "padded"] = "packed"
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.max_tokens is None and self.max_sequences is None:
            raise ValueError(
                "neither max_tokens nor max_sequences is given: a batch needs a budget; e.g. max_tokens=4096"
            )
        optional_integer("max_tokens", self.max_tokens, 1, MAX_BUDGET)
        optional_integer("max_sequences", self.max_sequences, 1, MAX_BUDGET)
        integer("batch_multiple", self.multiple, 1, MAX_BUDGET)
        choice("budget", self.kind, BUDGETS)

    def sequences(self, histogram: Histogram, positions: Ints) -> Ints:
        """Return how many sequences fit, whichever rows at or after each position they are; at least 1.

        The first rows at a position are the longest, so a number of which these fit is safe for all later rows.
        """
        most = np.full(positions.shape, np.iinfo(np.int64).max)
        if self.max_tokens is not None and self.kind == "padded":
            most = self.max_tokens // histogram.lengths(positions)
        elif self.max_tokens is not None:
            most = histogram.rows_within(histogram.tokens_before(positions) + self.max_tokens) - positions
        if self.max_sequences is not None:
            most = np.minimum(most, self.max_sequences)
        sizes: Ints = np.where(most > self.multiple, most - most % self.multiple, np.maximum(most, 1))
        return sizes


@dataclass(frozen=True)
class Buckets:
    """A plan of global batches: each has rows of one bucket, and that bucket's number of sequences.

    Only the last global batch of the last bucket, with the shortest rows, may have fewer.

    Attributes:
        starts: (K + 1,) position at which each bucket starts; the last is the number of rows.
        sequences: (K,) number of sequences of a local batch.
        world_size: Number of ranks, that is, of local batches in a global batch.
    """

    starts: Ints
    sequences: Ints
    world_size: int

    @property
    def global_sequences(self) -> Ints:
        """(K,) number of sequences of a global batch."""
        return self.sequences * self.world_size

    @property
    def rows(self) -> Ints:
        """(K,) number of rows of each bucket."""
        return np.diff(self.starts)

    @property
    def steps(self) -> Ints:
        """(K,) number of global batches of each bucket."""
        return -(-self.rows // self.global_sequences)

    @property
    def num_steps(self) -> int:
        """Number of global batches."""
        return int(self.steps.sum())

    def split(self, bucket: int) -> "Buckets":
        """Return the same plan with a bucket's first global batch, its heaviest, as a separate bucket."""
        size = int(self.global_sequences[bucket])
        if self.rows[bucket] <= size:
            return self
        starts = np.insert(self.starts, bucket + 1, self.starts[bucket] + size)
        return Buckets(starts, np.insert(self.sequences, bucket, self.sequences[bucket]), self.world_size)

    def cost(self, histogram: Histogram, cost: StepCost) -> float:
        """Return the cost of the plan, each global batch counted as if it had its bucket's longest row."""
        serial = cost.per_step * histogram.lengths(self.starts[:-1]) + cost.per_batch
        return float(self.steps @ serial + cost.per_token * histogram.num_tokens / self.world_size)


def plan_buckets(
    histogram: Histogram,
    budget: Budget,
    cost: StepCost,
    *,
    world_size: int = 1,
    min_global_batches: int = 1,
    num_buckets: int | None = None,
    slack: float = 0.0,
) -> Buckets:
    """Return the plan with the fewest buckets whose cost is within ``slack`` of the least.

    The cost of the tokens, equal for all plans, is left out. Every bucket but the last has a whole number of global
    batches, so a boundary may lie between rows of equal length. Every bucket, unless it is the only one, has at
    least ``min_global_batches``, so that its rows meet other rows in each epoch. Under these rules the result is
    optimal for up to 512 rows. With more rows, buckets end near one of 512 positions, evenly spaced over the steps
    of the epoch.

    Args:
        histogram: Lengths of all rows.
        budget: What a local batch may hold.
        cost: What is minimised.
        world_size: Number of local batches in a global batch.
        min_global_batches: Least number of global batches in a bucket.
        num_buckets: Largest number of buckets; by default 64.
        slack: What a plan with fewer buckets, which shuffles more, may cost beyond the least, as a fraction of it.
    """
    # Layer k holds plans whose last bucket is number k. A path to a node is a list of buckets that ends at the node
    # or less than one global batch before it.
    rows, nodes = histogram.num_rows, _nodes(histogram, budget)
    layers = min(_MAX_BUCKETS if num_buckets is None else num_buckets, nodes.size)
    end = np.zeros((nodes.size, layers), np.int64)  # position at which the best path to a node ends
    path_cost = np.full(end.shape, np.inf)  # cost of that path
    bound = path_cost.copy()  # cost of that path and, in proportion, of the rows between its end and the node
    plan_cost = path_cost.copy()  # cost of the plan that continues the path with one last bucket
    previous = end.copy()  # node before on the path, one layer up
    path_cost[0, 0] = 0.0
    for node in range(nodes.size):
        reached = np.flatnonzero(path_cost[node] < np.inf)
        if not reached.size:
            continue
        here = slice(reached[0], reached[-1] + 1)
        start, before = end[node, here], path_cost[node, here]
        size = budget.sequences(histogram, start) * world_size
        step = cost.per_step * histogram.lengths(start) + cost.per_batch
        rest = -(-(rows - start) // size)
        allowed = (rest >= min_global_batches) | (start == 0)
        plan_cost[node, here] = np.where(allowed, before + rest * step, np.inf)

        # Extend all paths by one bucket to all later nodes, by as many whole batches as end at the node or before.
        later, below = slice(node + 1, None), slice(here.start + 1, min(here.stop + 1, layers))
        paths = slice(below.stop - below.start)
        gap = nodes[later, None] - start[paths].astype(np.float64)  # floats are divided several times faster
        count = np.floor(gap / size[paths])
        left = gap - count * size[paths]
        total = before[paths] + count * step[paths]
        total_bound = total + left * (step / size)[paths]
        # Batches that end at or before an earlier node are a path to that node.
        new = (left < np.diff(nodes[node:])[:, None]) & (count >= min_global_batches)
        better = new & (total_bound < bound[later, below])
        np.copyto(bound[later, below], total_bound, where=better)
        np.copyto(path_cost[later, below], total, where=better)
        np.copyto(end[later, below], nodes[later, None] - left, where=better, casting="unsafe")
        np.copyto(previous[later, below], node, where=better)
    costs = plan_cost.min(0)
    last = int(np.flatnonzero(costs <= (1 + slack) * costs.min())[0])
    at_node = int(plan_cost[:, last].argmin())
    starts = [rows]
    for layer in range(last, -1, -1):
        starts.append(int(end[at_node, layer]))
        at_node = int(previous[at_node, layer])
    edges = np.array(starts[::-1])
    return Buckets(edges, budget.sequences(histogram, edges[:-1]), world_size)


def _nodes(histogram: Histogram, budget: Budget) -> Ints:
    """Return the positions at which a bucket may start, ascending from 0: all, or evenly spaced over the steps.

    The first few are always among them, so that a bucket can end right after a few very long rows.
    """
    rows = histogram.num_rows
    if rows <= _NODES:
        return np.arange(rows)
    steps = np.diff(histogram.starts) / budget.sequences(histogram, histogram.starts[:-1])
    cumulative = np.concatenate([[0.0], np.cumsum(steps)])
    spaced = np.interp(np.linspace(0, cumulative[-1], _NODES, endpoint=False), cumulative, histogram.starts)
    return np.unique(np.concatenate([np.arange(_LONGEST), spaced.astype(np.int64)]))
