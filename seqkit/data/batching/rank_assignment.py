"""Ranks: which one this process is, and which rows of a global batch each of them gets."""

import numpy as np
import numpy.typing as npt
import torch.distributed

from seqkit.data.batching.permutation import index_in_group
from seqkit.options import integer

Ints = npt.NDArray[np.int64]

_GREEDY_ROUNDS = 64  # last rounds, assigned by the ranks' sums; the rounds before are assigned in serpentine order
_TOLERANCE = 0.01  # of the mean sum: ranks that differ by more exchange rows


def rank_and_world_size(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Return this process's rank and the number of ranks.

    A number that is None is read from torch.distributed; without an initialised process group the rank is 0 and the
    number of ranks 1.

    Raises:
        TypeError: A given number is not an integer.
        ValueError: A number is out of range.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if distributed else 0
    if world_size is None:
        world_size = torch.distributed.get_world_size() if distributed else 1
    world_size = integer("num_replicas", world_size, 1)
    return integer("rank", rank, 0, world_size - 1), world_size


def assign_serpentine(index: Ints, world_size: int) -> Ints:
    """Return the rank of each row, for rows assigned to the ranks 0, 1, …, R − 1, R − 1, …, 1, 0, 0, 1 and so on.

    For values in descending order, the sums of two ranks with equally many rows differ by at most the largest value
    minus the smallest: the differences of successive rounds alternate in sign and cover disjoint ranges of values.
    If some values become smaller, no rank's sum becomes larger.

    Args:
        index: (B,) number of each row in its global batch.
        world_size: Number of ranks, R.
    """
    round_, column = np.divmod(index, world_size)
    return np.where(round_ % 2, world_size - 1 - column, column)


def assign_evenly(sizes: Ints, values: Ints, world_size: int) -> Ints:
    """Assign the rows of global batches to ranks, so that the sums of the ranks' values are nearly equal.

    Rows are assigned in rounds of one row a rank. In a round the rank with the smallest sum gets the largest value.
    So the sums of two ranks with equally many rows differ by at most the largest value minus the smallest. If they
    still differ by more than 1 %, the ranks with the largest and the smallest sum exchange rows. The rows of the
    first round stay where they are, so that the ranks' largest values stay similar.

    Args:
        sizes: (S,) number of rows of each global batch.
        values: (sum of sizes,) values of the rows, descending within each global batch.
        world_size: Number of ranks.

    Returns:
        (sum of sizes,) rank of each row, 0 to ``world_size`` − 1.
    """
    index = index_in_group(sizes)
    ranks = assign_serpentine(index, world_size)
    if world_size == 1 or not index.size:
        return ranks
    start = np.cumsum(sizes) - sizes
    batch = np.repeat(np.arange(sizes.size), sizes)
    rounds = -(-int(sizes.max()) // world_size)
    greedy_start = max(0, rounds - _GREEDY_ROUNDS) * world_size
    serpentine = index < greedy_start
    cells = batch[serpentine] * world_size + ranks[serpentine]
    sums = np.bincount(cells, values[serpentine], sizes.size * world_size).astype(np.int64)
    sums = sums.reshape(-1, world_size)
    column = np.arange(world_size)
    for first in range(greedy_start, rounds * world_size, world_size):
        unfinished = np.flatnonzero(sizes > first)
        rows = start[unfinished, None] + first + column
        exists = first + column < sizes[unfinished, None]
        smallest = np.argsort(sums[unfinished], axis=1, kind="stable")
        ranks[rows[exists]] = smallest[exists]
        value = np.where(exists, values[np.where(exists, rows, 0)], 0)
        sums[unfinished[:, None], smallest] += value
    for uneven in np.flatnonzero(np.ptp(sums, axis=1) > _TOLERANCE * sums.mean(1)):
        later = slice(start[uneven] + world_size, start[uneven] + sizes[uneven])  # all rounds but the first
        _exchange_rows(ranks[later], values[later], sums[uneven])
    return ranks


def _exchange_rows(ranks: Ints, values: Ints, sums: Ints) -> None:
    """Swap rows of the ranks with the largest and the smallest sum, in place, while the sums become more even."""
    for _ in range(4 * sums.size):
        fullest, emptiest = sums.argmax(), sums.argmin()
        gap = sums[fullest] - sums[emptiest]
        give = np.flatnonzero(ranks == fullest)[:_GREEDY_ROUNDS]
        take = np.flatnonzero(ranks == emptiest)[:_GREEDY_ROUNDS]
        changes = values[give][:, None] - values[take]  # a swap reduces the gap by twice the change
        if not changes.size or gap <= _TOLERANCE * sums.mean():
            return
        best = np.abs(gap - 2 * changes).argmin()
        change = changes.flat[best]
        if not 0 < change < gap:
            return
        given, taken = give[best // take.size], take[best % take.size]
        ranks[given], ranks[taken] = emptiest, fullest
        sums[fullest] -= change
        sums[emptiest] += change
