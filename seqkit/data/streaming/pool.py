"""Batches of a pool of rows by fixed buckets: full batches are taken, the other rows wait for the next pool."""

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.length_sort import Policy, sort_by_length
from seqkit.data.batching.plan import Budget, StepCost, plan_buckets

Ints = npt.NDArray[np.int64]

_SLACK = 0.01  # of the least cost; less than the sampler's, because a first pool is a small sample


def learn_buckets(lengths: Ints, budget: Budget, cost: StepCost) -> Ints:
    """Return the longest length of each bucket, descending, from the plan of some rows (P,) that are not empty."""
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
    """Form the batches of a pool.

    Rows that waited come first. A batch is full when the next row of its bucket would exceed the budget. A batch
    that is not full is taken if one of its rows has waited, so no row waits for more than one pool.

    Args:
        lengths: (P,) lengths of the rows in the pool.
        waited: (P,) whether each row was in the pool before this one.
        longest: (K,) from :func:`learn_buckets`; longer rows belong to the first bucket.
        budget: What a batch may hold; a row that exceeds it is a batch of its own.
        random: For the order of rows and batches; None to keep the pool's order, longest bucket first.
        all_rows: Whether batches that are not full are taken, too.

    Returns:
        The batches, as indices into the pool, (B,) each; the indices of the rows that wait, ascending; the
        fractional number of batches: each full batch counts 1, each other batch the fraction that is filled.
    """
    bucket = np.maximum(longest.size - 1 - np.searchsorted(longest[::-1], lengths), 0)
    order = np.arange(lengths.size) if random is None else random.permutation(lengths.size)
    order = order[np.lexsort((~waited[order], bucket[order]))]
    taken, waiting, fractional_batches = [], [np.zeros(0, np.int64)], 0.0
    for rows in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1):
        for batch, filled in _cut(rows, lengths, budget):
            fractional_batches += filled
            if filled == 1 or all_rows or waited[batch].any():
                taken.append(batch)
            else:
                waiting.append(batch)
    if random is not None:
        taken = [taken[number] for number in random.permutation(len(taken))]
    return taken, np.sort(np.concatenate(waiting)), fractional_batches


def _cut(rows: Ints, lengths: Ints, budget: Budget) -> list[tuple[Ints, float]]:
    """Cut the rows of a bucket into batches, and return with each how full it is: 1 except for the last one."""
    tokens = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[rows])])
    batches, start = [], 0
    while start < rows.size:
        stops = [rows.size]
        if budget.max_sequences is not None:
            stops.append(start + budget.max_sequences)
        if budget.max_tokens is not None and budget.kind == "packed":
            stops.append(int(np.searchsorted(tokens, tokens[start] + budget.max_tokens, "right")) - 1)
        elif budget.max_tokens is not None:
            stops.append(start + budget.max_tokens // int(lengths[rows[start:]].max()))
        stop = max(min(stops), start + 1)
        filled = 1.0
        if stop == rows.size:
            sequences, packed = rows.size - start, int(tokens[-1] - tokens[start])
            fractions = [sequences / budget.max_sequences] if budget.max_sequences is not None else []
            if budget.max_tokens is not None:
                area = sequences * int(lengths[rows[start:]].max())
                fractions.append((packed if budget.kind == "packed" else area) / budget.max_tokens)
            filled = min(max(fractions), 1.0)
        batches.append((rows[start:stop], filled))
        start = stop
    return batches
