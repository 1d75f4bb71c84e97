import dataclasses

import numpy as np
import pytest

from seqkit.data.batching.epoch_part import Planner
from seqkit.data.batching.plan import Budget, Histogram, StepCost
from seqkit.data.batching.position import ResumePosition, rebuild_position

PLANNER = Planner(Budget(60, None), StepCost(), None, True, 0, False)


def start(world_size):
    values, counts = np.unique(np.random.default_rng(0).integers(1, 30, 200), return_counts=True)
    histogram = Histogram.from_counts(values[::-1], counts[::-1])
    return ResumePosition(4, (), PLANNER.first_part(histogram, PLANNER.plan(histogram, world_size), 4), 0)


def test_consumed_and_remaining_steps_over_two_parts():
    first = dataclasses.replace(start(2), step=5)
    second = dataclasses.replace(first.replan(PLANNER, 3), step=2)
    assert (first.consumed, second.consumed) == (5, 7)
    assert second.remaining == second.part.num_steps - 2
    parts = second.parts_after(8)
    assert [part[:2] for part in parts] == [(2, 5), (3, 3)]
    rebuilt = rebuild_position(PLANNER, start(2).part, 4, parts)
    assert (rebuilt.epoch, rebuilt.consumed, rebuilt.step) == (4, 8, 3)
    expected = second.part.global_batches(3, 5)
    for found, values in zip(rebuilt.part.global_batches(3, 5), expected, strict=True):
        assert found.tolist() == values.tolist()


def test_a_part_without_consumed_steps_is_left_out():
    first = dataclasses.replace(start(2), step=5)
    assert first.replan(PLANNER, 3).parts_after(5) == first.parts_after(5)
    assert [part[:2] for part in start(2).parts_after(0)] == [(2, 0)]


def test_steps_outside_the_rest_of_the_epoch_raise():
    position = dataclasses.replace(start(2), step=5)
    last = position.part.num_steps
    for step in (4, last + 1):
        with pytest.raises(ValueError, match=f"step={step}: epoch 4 has {last} batches, of which 5 to {last} can"):
            position.parts_after(step)


def test_another_plan_raises():
    parts = [dataclasses.replace(start(2), step=5).parts_after(5)[0]._replace(plan="other")]
    with pytest.raises(ValueError, match=r"plan 'other' in the state, '[0-9a-f]+' here"):
        rebuild_position(PLANNER, start(2).part, 4, parts)
