import numpy as np
import pytest

from seqkit.data.batching import plan_report
from seqkit.data.batching.plan import Buckets, Budget, Histogram, StepCost, plan_buckets
from seqkit.data.batching.plan_report import LocalBatches, alternatives


def test_local_batches_of_a_small_example():
    batches = LocalBatches.from_lengths(np.array([[3, 1], [2, 2], [4, 4], [1, 1]]), world_size=2)
    assert batches.sequences.tolist() == [[2, 2], [2, 2]]
    assert batches.tokens.tolist() == [[4, 4], [8, 2]]
    assert batches.longest.tolist() == [[3, 2], [4, 1]]
    assert batches.waste == pytest.approx(1 - 18 / 20)
    assert batches.imbalance == pytest.approx(0.6, abs=0.01)
    assert batches.correlation == 0.0
    assert batches.cost(StepCost(1.0, 0.5, 10.0)) == (3 + 2 + 10) + (4 + 4 + 10)


def test_alternatives_of_uniform_lengths():
    lengths = np.repeat(np.arange(1, 101), 50)
    values, counts = np.unique(lengths, return_counts=True)
    histogram, budget, cost = Histogram.from_counts(values[::-1], counts[::-1]), Budget(400, None), StepCost()
    plan = plan_buckets(histogram, budget, cost)
    found = alternatives(histogram, budget, cost, plan)
    assert set(found) == {"random", "sorted pool", "fixed width", "quantiles"}
    assert 0.3 < found["random"]["waste"] < 0.5
    assert found["sorted pool"]["waste"] < 0.1
    assert found["sorted pool"]["correlation"] > 0.5 > abs(found["random"]["correlation"])
    mine = plan.cost(histogram, cost) / histogram.num_tokens
    assert mine < min(found["fixed width"]["cost"], found["quantiles"]["cost"])


@pytest.mark.parametrize("world_size", [1, 2])
def test_random_batches_and_sorted_pools_equal_a_loop(world_size, monkeypatch):
    monkeypatch.setattr(plan_report, "_POOL", 3)
    lengths = np.random.default_rng(0).integers(1, 60, 247)
    values, counts = np.unique(lengths, return_counts=True)
    histogram, budget, cost = Histogram.from_counts(values[::-1], counts[::-1]), Budget(400, None), StepCost()
    plan = plan_buckets(histogram, budget, cost, world_size=world_size)
    found = alternatives(histogram, budget, cost, plan)
    size = round(247 / (plan.num_steps * world_size))
    order = histogram.lengths(np.random.Generator(np.random.Philox(0)).permutation(247))
    random = [order[i : i + size] for i in range(0, 247, size)]
    random = random[: 247 // (size * world_size) * world_size]
    pooled = []
    for i in range(0, len(random), 3 * world_size):
        pool = np.sort(np.concatenate(random[i : i + 3 * world_size]))[::-1]
        pooled += [pool[j : j + size] for j in range(0, len(pool), size)]
    for name, batches in (("random", random), ("sorted pool", pooled)):
        tokens = sum(batch.sum() for batch in batches)
        assert found[name]["waste"] == pytest.approx(1 - tokens / (size * sum(batch.max() for batch in batches)))
        steps = [batches[i : i + world_size] for i in range(0, len(batches), world_size)]
        slowest = [
            max(cost.per_step * b.max() + cost.per_token * b.sum() + cost.per_batch for b in step) for step in steps
        ]
        assert found[name]["cost"] == pytest.approx(sum(slowest) / tokens)
        means = [np.mean(step) for step in steps]
        assert found[name]["correlation"] == pytest.approx(np.corrcoef(means[:-1], means[1:])[0, 1])


def test_many_rows_are_sampled(monkeypatch):
    monkeypatch.setattr(plan_report, "_SAMPLE", 4_000)
    histogram = Histogram.from_counts(np.array([50, 1]), np.array([300_000, 100_000]))
    plan = plan_buckets(histogram, Budget(None, 2), StepCost())
    found = alternatives(histogram, Budget(None, 2), StepCost(), plan)
    waste = 1 - (0.75 * 50 + 0.25) / (50 * (1 - 0.25**2) + 0.25**2)  # of pairs of rows
    assert found["random"]["waste"] == pytest.approx(waste, abs=0.02)
    assert found["random"]["correlation"] == pytest.approx(0, abs=0.1)


def test_alternatives_with_fewer_rows_than_a_global_batch():
    histogram = Histogram.from_counts(np.array([5, 2]), np.array([1, 1]))
    plan = plan_buckets(histogram, Budget(10, None), StepCost(), world_size=3)
    found = alternatives(histogram, Budget(10, None), StepCost(), plan)
    assert set(found) == {"fixed width", "quantiles"}


def test_alternatives_with_more_buckets_than_different_lengths():
    histogram, budget, cost = Histogram.from_counts(np.array([9, 8]), np.array([2, 4])), Budget(9, None), StepCost()
    found = alternatives(histogram, budget, cost, Buckets(np.arange(7), np.ones(6, np.int64), 1))
    assert np.isfinite(found["fixed width"]["cost"])
