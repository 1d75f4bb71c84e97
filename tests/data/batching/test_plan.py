import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost, plan_buckets

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=14)
BUDGETS = st.builds(
    Budget,
    st.integers(30, 90),
    st.none() | st.integers(1, 6),
    st.sampled_from(["packed", "padded"]),
    st.integers(1, 3),
)


def histogram_of(lengths):
    values, counts = np.unique(lengths, return_counts=True)
    return Histogram.from_counts(values[::-1], counts[::-1])


@given(LENGTHS)
def test_histogram_is_the_sorted_lengths(lengths):
    histogram, ordered = histogram_of(lengths), np.sort(lengths)[::-1]
    positions = np.arange(len(lengths) + 1)
    assert histogram.lengths(positions[:-1]).tolist() == ordered.tolist()
    assert histogram.tokens_before(positions).tolist() == [int(ordered[:end].sum()) for end in positions]
    assert (histogram.num_rows, histogram.num_tokens) == (len(lengths), sum(lengths))
    onward = np.concatenate([ordered, np.full(200, ordered[-1])])
    for tokens in (0, 1, 7, 50, 200):
        fits = int((np.cumsum(onward) <= tokens).sum())
        assert int(histogram.rows_within(np.array(tokens))) == fits


@given(LENGTHS, BUDGETS)
def test_sizes_are_the_largest_that_fit(lengths, budget):
    histogram, ordered = histogram_of(lengths), np.sort(lengths)[::-1]
    sizes = budget.sequences(histogram, np.arange(len(lengths)))

    def fits(position, size):
        first = np.concatenate([ordered[position:], np.full(200, ordered[-1])])[:size]
        load = first.sum() if budget.kind == "packed" else size * first[0]
        return load <= budget.max_tokens and size <= (budget.max_sequences or size)

    for position, size in enumerate(sizes):
        assert size >= 1
        assert fits(position, size)
        step = budget.multiple if size >= budget.multiple else 1
        assert size % step == 0
        assert not fits(position, size + step)
    assert (np.diff(sizes) >= 0).all()


def every_plan(histogram, budget, world_size, least, start=0, buckets=99):
    """Yield all plans that follow the rules, as lists of bucket starts."""
    if not buckets:
        return
    size = int(budget.sequences(histogram, np.array([start]))[0]) * world_size
    rest = histogram.num_rows - start
    if -(-rest // size) >= least or start == 0:
        yield [start]
    for stop in range(start + least * size, histogram.num_rows, size):
        for plan in every_plan(histogram, budget, world_size, least, stop, buckets - 1):
            yield [start, *plan]


@given(
    LENGTHS,
    BUDGETS,
    st.integers(0, 40),
    st.integers(1, 3),
    st.integers(1, 3),
    st.none() | st.integers(1, 4),
    st.sampled_from([0.0, 0.1]),
)
def test_the_plan_is_the_optimum_of_all_plans(lengths, budget, per_batch, world_size, least, num_buckets, slack):
    histogram, cost = histogram_of(lengths), StepCost(1.0, 0.5, per_batch)
    plan = plan_buckets(
        histogram,
        budget,
        cost,
        world_size=world_size,
        min_global_batches=least,
        num_buckets=num_buckets,
        slack=slack,
    )
    serial = StepCost(1.0, 0.0, per_batch)  # the slack is a fraction of the cost without the tokens
    costs = {}
    for starts in every_plan(histogram, budget, world_size, least, buckets=num_buckets or 99):
        other = Buckets(
            np.array([*starts, len(lengths)]), budget.sequences(histogram, np.array(starts)), world_size
        )
        costs.setdefault(len(starts), []).append(other.cost(histogram, serial))
    lowest = min(min(found) for found in costs.values())
    fewest = min(count for count, found in costs.items() if min(found) <= (1 + slack) * lowest + 1e-9)
    assert plan.sequences.size == fewest
    assert plan.cost(histogram, serial) == pytest.approx(min(costs[fewest]))
    assert (plan.sequences == budget.sequences(histogram, plan.starts[:-1])).all()
    assert (plan.rows[:-1] % plan.global_sequences[:-1] == 0).all()


@pytest.mark.parametrize(("world_size", "factor"), [(1, 1.06), (8, 1.12)])
def test_a_large_plan_is_near_its_relaxed_optimum(world_size, factor):
    lengths = np.random.default_rng(0).lognormal(3, 0.8, 300_000).astype(int) + 1
    histogram, budget, cost = histogram_of(lengths), Budget(int(lengths.max()) * 4, None), StepCost(1.0, 0.0, 20.0)
    costs = [
        plan_buckets(histogram, budget, cost, world_size=world_size, min_global_batches=2, num_buckets=count).cost(
            histogram, cost
        )
        for count in (1, 2, 4, 8, 16, 64)
    ]
    assert costs == sorted(costs, reverse=True)
    positions = np.arange(lengths.size)  # lower bound: each row in its own bucket, in a fraction of a batch
    size = budget.sequences(histogram, positions) * world_size
    relaxed = ((cost.per_step * histogram.lengths(positions) + cost.per_batch) / size).sum()
    assert relaxed <= costs[-1] < factor * relaxed


def test_one_very_long_row_costs_few_batches():
    lengths = np.append(np.random.default_rng(0).integers(1, 20, 10_000), 5_000)
    histogram = histogram_of(lengths)
    plan = plan_buckets(histogram, Budget(5_000, None), StepCost(), min_global_batches=2)
    assert plan.num_steps < lengths.sum() / 5_000 + 5


def test_split_takes_the_heaviest_batch_out():
    plan = Buckets(np.array([0, 8, 20]), np.array([2, 3]), 2)
    split = plan.split(1)
    assert split.starts.tolist() == [0, 8, 14, 20]
    assert split.sequences.tolist() == [2, 3, 3]
    assert split.num_steps == plan.num_steps
    assert split.split(2) is split


def test_cost_of_batches():
    assert StepCost(2.0, 0.5, 10.0)(np.array([3]), np.array([8])).tolist() == [20.0]
    plan = Buckets(np.array([0, 4, 7]), np.array([1, 2]), 2)
    histogram = histogram_of([5, 5, 4, 4, 2, 1, 1])
    assert plan.cost(histogram, StepCost(2.0, 0.5, 10.0)) == 2 * (10 + 10) + 1 * (4 + 10) + 0.5 * 22 / 2


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((None, None), "neither max_tokens nor max_sequences is given"),
        ((0, None), "max_tokens=0: must be an integer from 1 to"),
        ((None, -1), "max_sequences=-1: must be an integer from 1 to"),
        ((5, None, "packed", 0), "batch_multiple=0: must be an integer from 1 to"),
    ],
)
def test_a_budget_has_a_limit_of_at_least_one(limits, message):
    with pytest.raises(ValueError, match=message):
        Budget(*limits)
