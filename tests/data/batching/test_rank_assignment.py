import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.rank_assignment import assign_evenly, assign_serpentine, rank_and_world_size

global_batches = st.lists(st.lists(st.integers(0, 100), min_size=0, max_size=40), min_size=1, max_size=4)


def serpentine(sizes, values, world_size):
    return np.concatenate([assign_serpentine(np.arange(size), world_size) for size in sizes])


@pytest.mark.parametrize("assign", [assign_evenly, serpentine])
@given(global_batches, st.integers(1, 8))
def test_ranks_get_equally_many_rows_and_similar_sums(assign, batches, world_size):
    batches = [np.array(sorted(batch, reverse=True), np.int64) for batch in batches]
    sizes = np.array([batch.size for batch in batches])
    assigned = np.split(assign(sizes, np.concatenate(batches), world_size), np.cumsum(sizes)[:-1])
    for batch, ranks in zip(batches, assigned, strict=True):
        counts = np.bincount(ranks, minlength=world_size)
        assert counts.size == world_size
        assert np.ptp(counts) <= 1
        assert sorted(ranks[:world_size]) == list(range(min(world_size, batch.size)))  # the first round
        if batch.size and batch.size % world_size == 0:
            assert np.ptp(np.bincount(ranks, batch, world_size)) <= batch[0] - batch[-1]


@given(global_batches, st.integers(1, 8))
def test_global_batches_are_independent(batches, world_size):
    batches = [np.array(sorted(batch, reverse=True), np.int64) for batch in batches]
    sizes = np.array([batch.size for batch in batches])
    together = assign_evenly(sizes, np.concatenate(batches), world_size)
    each = [assign_evenly(np.array([batch.size]), batch, world_size) for batch in batches]
    assert together.tolist() == np.concatenate(each).tolist()


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(1, 8), st.data())
def test_serpentine_sums_do_not_grow_if_values_shrink(values, world_size, data):
    values = np.sort(values)[::-1]
    less = np.array([data.draw(st.integers(0, value)) for value in values.tolist()])
    ranks = assign_serpentine(np.arange(values.size), world_size)
    smaller = np.bincount(ranks, np.sort(less)[::-1], world_size)
    assert (smaller <= np.bincount(ranks, values, world_size)).all()


def test_exchanges_compensate_one_very_long_row():
    values = np.array([159, 90, 88, 85, 80, 80, 75, 75, 72, 72, 70, 70, 66, 65, 64, 60])
    sums = {}
    for name, assign in (("evenly", assign_evenly), ("serpentine", serpentine)):
        ranks = assign(np.array([16]), values, 2)
        sums[name] = np.bincount(ranks, values, 2)
        assert np.bincount(ranks).tolist() == [8, 8]
    assert np.ptp(sums["evenly"]) <= 0.01 * sums["evenly"].mean() < np.ptp(sums["serpentine"])


def test_large_batches_are_even():
    values = -np.sort(-np.random.default_rng(0).integers(10, 40, 8 * 500))
    sums = np.bincount(assign_evenly(np.array([values.size]), values, 8), values)
    assert np.ptp(sums) <= 0.001 * sums.mean()


def test_rank_and_world_size_of_a_process_group(monkeypatch):
    for name, value in (("is_initialized", True), ("get_rank", 2), ("get_world_size", 4)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert rank_and_world_size() == (2, 4)
    assert rank_and_world_size(rank=3) == (3, 4)
    assert rank_and_world_size(world_size=5) == (2, 5)


def test_rank_and_world_size(tmp_path):
    assert rank_and_world_size() == (0, 1)
    assert rank_and_world_size(2, 5) == (2, 5)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        assert rank_and_world_size() == (0, 1)
        assert rank_and_world_size(1, 3) == (1, 3)
    finally:
        torch.distributed.destroy_process_group()
