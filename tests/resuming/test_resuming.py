"""A run that is interrupted at any moment, and again after it was resumed, ends as the uninterrupted one."""

import json

import pytest

from tests import processes
from tests.resuming import cases

pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.")

# What differs by task: when validation runs, and which checkpoints the short form resumes from.
SHORT = {
    "dropout": {"every": 18, "first": 2, "check": 2},
    "crf": {"every": 9, "first": 5},
    "text": {"every": 13, "first": 4, "check": 2},
    "stream": {"every": 9, "first": 4},
}


@pytest.mark.parametrize("task", cases.TASKS)
def test_resumed_runs_end_as_the_uninterrupted_one(task, tmp_path):
    assert cases.check(tmp_path, task, 1, 0, **SHORT[task]) == {}


def run_on_two_ranks(folder, *jobs):
    processes.run(cases.__file__, folder, 2, json.dumps(jobs), ranks=2, cwd=folder, timeout=3000)
    return [json.loads((folder / f"{job}-{rank}.json").read_text()) for job in range(len(jobs)) for rank in (0, 1)]


def test_two_ranks_end_as_uninterrupted_ones(tmp_path, loopback):
    jobs = [{"task": task, "workers": 0, "every": 20, "first": 4} for task in ("text", "stream")]
    assert run_on_two_ranks(tmp_path, *jobs) == [{}] * 4


@pytest.mark.slow
@pytest.mark.parametrize("check", [1.0, 2])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", cases.TASKS)
def test_resumed_from_every_moment(task, workers, check, tmp_path):
    assert cases.check(tmp_path, task, 1, workers, check=check) == {}


@pytest.mark.slow
@pytest.mark.parametrize("task", cases.TASKS)
def test_resumed_from_every_moment_with_a_limit_of_steps(task, tmp_path):
    assert cases.check(tmp_path, task, 1, 0, max_steps=13) == {}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", cases.TASKS)
def test_two_ranks_resumed_from_every_moment(task, workers, tmp_path, loopback):
    jobs = [{"task": task, "workers": workers, "check": check} for check in (1.0, 2)]
    assert run_on_two_ranks(tmp_path, *jobs) == [{}] * 4
