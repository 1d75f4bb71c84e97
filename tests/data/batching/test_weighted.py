from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data import LengthBucketSampler
from seqkit.data.batching.length_sort import Policy, sort_by_length
from seqkit.data.batching.weighted import Draws


@st.composite
def weighted(draw):
    """Lengths with ties and perhaps very long rows, and weights, at least one of them not 0."""
    lengths = draw(st.lists(st.integers(1, 8) | st.just(40), min_size=2, max_size=40))
    weights = draw(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0]), min_size=len(lengths), max_size=len(lengths))
    )
    weights[draw(st.integers(0, len(lengths) - 1))] = 1.0
    if len(set(lengths)) == 1:
        lengths[0] += 1
    return np.array(lengths), np.array(weights)


def ranks(lengths, weights, world_size, **arguments):
    options = {"max_tokens": 80, "max_sequences": 5, "num_replicas": world_size, "weights": weights, **arguments}
    return [LengthBucketSampler(lengths, rank=rank, **options) for rank in range(world_size)]


def drawn(samplers, epoch=0):
    steps = []
    for sampler in samplers:
        sampler.set_epoch(epoch)
        steps.append(list(sampler))
        assert len(steps[-1]) == len(sampler)
    return steps


@given(weighted(), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_rows_are_drawn_as_often_as_their_share_within_budget(case, world_size, epoch, longest_first):
    lengths, weights = case
    steps = drawn(ranks(lengths, weights, world_size, longest_first=longest_first), epoch)
    batches = [batch for of_rank in steps for batch in of_rank]
    times = Counter(row for batch in batches for row in batch)
    assert times.total() == lengths.size
    share = weights / weights.sum() * lengths.size
    for row, expected in enumerate(share.tolist()):
        assert np.floor(expected - 1e-9) <= times[row] <= np.ceil(expected + 1e-9)
    for batch in batches:
        assert len(batch) <= 5
        assert lengths[batch].sum() <= 80
        assert (np.diff(lengths[batch]) <= 0).all()


@given(weighted())
def test_equal_weights_draw_every_row_once(case):
    lengths, _ = case
    unweighted = drawn(ranks(lengths, None, 2), 3)
    assert drawn(ranks(lengths, np.full(lengths.size, 0.3), 2), 3) == unweighted


@pytest.mark.parametrize("weight", [0.1, 0.7, 1e-300])
def test_many_equal_weights_draw_every_row_once(weight):
    lengths = np.random.default_rng(0).integers(1, 50, 100_000)
    rows, histogram, _ = sort_by_length(lengths, Policy(None, "raise", "drop"))
    draws = Draws.from_weights(np.full(100_000, weight), rows, histogram)
    assert np.array_equal(draws.edges, np.arange(100_001))
    assert np.array_equal(draws.lengths.starts, histogram.starts)
    assert np.array_equal(draws.positions(np.arange(100_000), 0, 0), np.arange(100_000))
    assert draws.tokens == lengths.sum()


@pytest.mark.parametrize("seed", range(5))
def test_many_weights_give_as_many_draws_as_rows(seed):
    random = np.random.default_rng(seed)
    lengths, weights = random.integers(1, 50, 5_000), random.random(5_000)
    weights[lengths == 1] = 0.0
    rows, histogram, _ = sort_by_length(lengths, Policy(None, "raise", "drop"))
    draws = Draws.from_weights(weights, rows, histogram)
    assert (draws.lengths.num_rows, draws.edges[-1]) == (5_000, 5_000)
    assert draws.tokens == pytest.approx(5_000 * np.average(lengths, weights=weights))


def test_a_single_row_with_a_weight():
    (sampler,) = ranks(np.array([3, 2, 1]), np.array([0.0, 0.0, 2.0]), 1)
    assert Counter(row for batch in sampler for row in batch) == {2: 3}


def test_proportions_hold_over_the_epochs():
    lengths, weights = np.arange(1, 41), np.linspace(0, 1, 40) ** 2
    (sampler,) = ranks(lengths, weights, 1)
    times, tokens, epochs = np.zeros(40), 0, 2000
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        rows = [row for batch in sampler for row in batch]
        times += np.bincount(rows, minlength=40)
        tokens += lengths[rows].sum()
    assert times / epochs == pytest.approx(weights / weights.sum() * 40, abs=0.05)
    assert tokens / epochs / len(sampler) == pytest.approx(sampler.tokens_per_step, rel=0.002)


@given(weighted(), st.data())
def test_resumes_on_any_number_of_ranks(case, data):
    lengths, weights = case
    first, second = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    samplers = ranks(lengths, weights, first)
    steps = drawn(samplers, 1)
    cut = data.draw(st.integers(0, len(steps[0])))
    others = ranks(lengths, weights, second)
    for other in others:
        other.load_state_dict(samplers[0].state_dict(cut))
    rest = Counter(row for other in others for batch in other for row in batch)
    assert rest == Counter(row for of_rank in steps for batch in of_rank[cut:] for row in batch)


def test_weights_are_part_of_the_state():
    (one,) = ranks(np.arange(1, 9), np.ones(8), 1)
    (other,) = ranks(np.arange(1, 9), np.arange(8), 1)
    with pytest.raises(ValueError, match=r"rows '8 rows, \w+' in the state, '8 rows, \w+' here"):
        other.load_state_dict(one.state_dict(1))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "weights of shape .2,. for 3 rows: give one weight a row"),
        ([1.0, -2.0, 1.0], "row 1: weight -2.0; a weight is a finite number, 0 or more"),
        ([1.0, 2.0, float("nan")], "row 2: weight nan; a weight"),
        ([0.0, 0.0, 0.0], "the weights of all 3 rows are 0: none can be drawn"),
    ],
)
def test_invalid_weights_raise(weights, message):
    with pytest.raises(ValueError, match=message):
        LengthBucketSampler([1, 2, 3], max_sequences=2, weights=weights)


def test_dropped_rows_have_no_share():
    sampler = LengthBucketSampler([1, 50, 2, 3], max_tokens=10, overlong="drop", weights=[1, 100, 1, 1])
    assert Counter(row for batch in sampler for row in batch) == Counter([0, 2, 3])
