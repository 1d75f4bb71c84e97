"""Batches of a pool of rows by fixed buckets: those that are full are taken, the rest waits for the next rows."""

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.length_sort import Policy, sort_by_length
from seqkit.data.batching.plan import Budget, StepCost, plan_buckets

Ints = npt.NDArray[np.int64]

_SLACK = 0.01  # of the cost, for wider buckets; less than the sampler's, for a first pool is a small sample


def learn_buckets(lengths: Ints, budget: Budget, cost: StepCost) -> Ints:
    """The longest length of each bucket, descending, by the plan of some rows (B,), none of them empty."""
    _, histogram, _ = sort_by_length(lengths, Policy(None, "raise", "drop"))
    plan = plan_buckets(histogram, budget, cost, slack=_SLACK)
    return np.unique(histogram.lengths(plan.starts[:-1]))[::-1]


def form_batches(
    lengths: Ints,
    waited: npt.NDArray[np.bool_],
    longest: Ints,
    budget: Budget,
    random: np.random.Generator | None,
    *,
    all_rows: bool,
) -> tuple[list[Ints], Ints, float]:
    """Forms the batches of a pool.

    Rows that waited come first. A batch is full when the next row of its bucket would exceed the budget. One that
    is not full is taken if a row in it has waited, so that none waits for more than one pool.

    Args:
        lengths: (P,) of the rows in the pool.
        waited: (P,) whether each was in the pool before this one.
        longest: (K,) of :func:`learn_buckets`; longer rows belong to the first bucket.
        budget: What a batch may hold; a row beyond it is a batch of its own.
        random: For the order of rows and batches; None to keep that of the pool, longest bucket first.
        all_rows: Whether batches are taken that are not full, too.

    Returns:
        The batches, as indices into the pool, (B,) each; the indices that wait, ascending; the number of batches
        that the rows are worth, those not full counted by their share.
    """
    place = np.maximum(longest.size - 1 - np.searchsorted(longest[::-1], lengths), 0)
    first_come = np.arange(lengths.size) if random is None else random.permutation(lengths.size)
    order = first_come[np.lexsort((~waited[first_come], place[first_come]))]
    taken, waiting, worth = [], [np.zeros(0, np.int64)], 0.0
    for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
        for batch, filled in _cut(rows, lengths, budget):
            worth += filled
            if filled == 1 or all_rows or waited[batch].any():
                taken.append(batch)
            else:
                waiting.append(batch)
    if random is not None:
        taken = [taken[number] for number in random.permutation(len(taken))]
    return taken, np.sort(np.concatenate(waiting)), worth


def _cut(rows: Ints, lengths: Ints, budget: Budget) -> list[tuple[Ints, float]]:
    """The rows of a bucket as batches, each with how full it is: 1 but for the last one."""
    tokens = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[rows])])
    batches, start = [], 0
    while start < rows.size:
        most = [rows.size]
        if budget.max_sequences is not None:
            most.append(start + budget.max_sequences)
        if budget.max_tokens is not None and budget.kind == "packed":
            most.append(int(np.searchsorted(tokens, tokens[start] + budget.max_tokens, "right")) - 1)
        elif budget.max_tokens is not None:
            most.append(start + budget.max_tokens // int(lengths[rows[start:]].max()))
        stop = max(min(most), start + 1)
        filled = 1.0
        if stop == rows.size:
            held = rows.size - start, int(tokens[-1] - tokens[start])
            shares = [held[0] / budget.max_sequences] if budget.max_sequences is not None else []
            if budget.max_tokens is not None:
                area = held[0] * int(lengths[rows[start:]].max())
                shares.append((held[1] if budget.kind == "packed" else area) / budget.max_tokens)
            filled = min(max(shares), 1.0)
        batches.append((rows[start:stop], filled))
        start = stop
    return batches
