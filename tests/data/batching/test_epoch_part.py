import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.epoch_part import EpochPart, Planner
from seqkit.data.batching.permutation import permutation_keys
from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost


@st.composite
def plans(draw):
    world_size = draw(st.integers(1, 4))
    sequences = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    batches = [draw(st.integers(1, 4)) for _ in sequences]
    rows = [count * size * world_size for count, size in zip(batches, sequences, strict=True)]
    rows[-1] -= draw(st.integers(0, sequences[-1] * world_size - 1))
    return Buckets(np.cumsum([0, *rows]), np.array(sequences), world_size)


def histogram_of(lengths):
    values, counts = np.unique(lengths, return_counts=True)
    return Histogram.from_counts(values[::-1], counts[::-1])


@given(plans(), st.booleans(), st.data())
def test_a_step_does_not_depend_on_the_range_that_it_is_computed_in(plan, shuffle, data):
    first = data.draw(st.none() | st.integers(0, plan.num_steps - 1))
    keys = permutation_keys((3, 1), plan.sequences.size + 1) if shuffle else None
    rows = int(plan.starts[-1])
    part = EpochPart(histogram_of(np.arange(rows) % 7 + 1), plan, keys, first)
    sizes, positions, lengths, ranks = part.global_batches(0, plan.num_steps)
    assert sorted(positions) == list(range(rows))
    assert lengths.tolist() == part.histogram.lengths(positions).tolist()
    ends = np.cumsum(sizes)
    for step in range(plan.num_steps):
        single = part.global_batches(step, step + 1)
        here = slice(ends[step] - sizes[step], ends[step])
        batch = positions[here]
        assert single.positions.tolist() == batch.tolist() == sorted(batch)
        assert single.ranks.tolist() == ranks[here].tolist()
        bucket = np.searchsorted(plan.starts, batch, "right") - 1
        assert np.unique(bucket).size == 1
        assert batch.size in (plan.global_sequences[bucket[0]], plan.rows[-1] % plan.global_sequences[-1])
        remaining = np.setdiff1d(np.arange(rows), positions[: ends[step]])
        assert part.remaining_index(step + 1).tolist() == remaining.tolist()
    if first is not None:
        offset = np.cumsum(plan.steps)
        assert np.searchsorted(plan.starts, positions[0], "right") - 1 == np.searchsorted(offset, first, "right")
    assert part.global_batches(plan.num_steps, plan.num_steps).positions.size == 0


@pytest.mark.parametrize("longest_first", [False, True])
def test_the_next_part_is_an_epoch_of_the_remaining_rows(longest_first):
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    histogram = histogram_of(lengths)
    planner = Planner(Budget(100, None), StepCost(), None, True, 0, longest_first)
    part = planner.first_part(histogram, planner.plan(histogram, 2), 3)
    seen = [part.global_batches(0, 4).positions]
    for world_size, steps in ((3, 2), (1, None)):
        part = planner.next_part(part, 4 if world_size == 3 else 2, world_size, 3, sum(map(len, seen)))
        batches = part.global_batches(0, part.num_steps if steps is None else steps)
        assert batches.lengths.tolist() == histogram.lengths(batches.positions).tolist()
        assert set(batches.ranks) == set(range(world_size))
        seen.append(batches.positions)
    assert sorted(np.concatenate(seen)) == list(range(200))
    empty = planner.next_part(part, part.num_steps, 2, 3, 9)
    assert empty.num_steps == 0
    assert list(empty.blocks()) == []
