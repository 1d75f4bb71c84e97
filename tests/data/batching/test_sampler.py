import json
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data import LengthBucketSampler, StepCost
from tests.data.batching.cases import ranks, rows_of, settings, weight


@given(settings(), st.integers(1, 8), st.integers(0, 3))
def test_every_row_once_in_equally_many_steps_within_budget(case, world_size, epoch):
    lengths, arguments = case
    steps = []
    for sampler in ranks(lengths, world_size, **arguments):
        sampler.set_epoch(epoch)
        steps.append(list(sampler))
        assert len(steps[-1]) == len(sampler) == sampler.remaining
    assert Counter(rows_of(rows_of(steps))) == Counter(range(len(lengths)))
    short = 0
    for step in zip(*steps, strict=True):
        together = lengths[rows_of(step)]
        sizes = [len(batch) for batch in step]
        assert max(sizes) - min(sizes) <= 1
        multiple = arguments["batch_multiple"]
        short += len(set(sizes)) > 1 or (sizes[0] > multiple and sizes[0] % multiple > 0)
        assert 0 not in sizes or sum(sizes) < world_size
        for batch in step:
            assert (np.diff(lengths[batch]) <= 0).all()
            assert arguments["max_tokens"] is None or (
                weight(lengths, batch, arguments["budget"]) <= arguments["max_tokens"]
            )
            assert len(batch) <= (arguments["max_sequences"] or len(batch))
        if len(set(sizes)) == 1:
            tokens = [lengths[batch].sum() for batch in step]
            longest = [lengths[batch].max() for batch in step]
            assert max(tokens) - min(tokens) <= together.max() - together.min()
            assert max(longest) - min(longest) <= together.max() - together.min()
    assert short <= 1


@given(settings(), st.integers(1, 4))
def test_a_pure_function_of_lengths_arguments_and_epoch(case, world_size):
    lengths, arguments = case
    sampler = ranks(lengths, world_size, **arguments)[-1]
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    np.random.seed(len(lengths))  # noqa: NPY002
    torch.manual_seed(len(lengths))
    other = pickle.loads(pickle.dumps(ranks(lengths.tolist(), world_size, **arguments)[-1]))
    for epoch in (2, 0, 1):
        other.set_epoch(epoch)
        first, second = iter(other), iter(other)
        taken = list(zip(first, second, strict=True))
        assert [batch for batch, _ in taken] == [batch for _, batch in taken] == epochs[epoch]
    if not arguments["shuffle"]:
        assert epochs[0] == epochs[1]


@given(settings(longest_first=True), st.integers(1, 8))
def test_longest_first_begins_with_the_heaviest_batch(case, world_size):
    lengths, arguments = case
    kind = arguments["budget"]
    loads = []
    for sampler in ranks(lengths, world_size, **arguments):
        for epoch in range(3):
            sampler.set_epoch(epoch)
            loads.append([weight(lengths, batch, kind) for batch in sampler])
    loads = np.array(loads).reshape(world_size, 3, -1)
    assert (loads[:, :, 0].max(0) == loads.max()).all()


@given(settings(), st.integers(1, 4), st.integers(0, 2))
def test_local_batches_and_report(case, world_size, epoch):
    lengths, arguments = case
    samplers = ranks(lengths, world_size, **arguments)
    sizes = samplers[0].local_batches(epoch)
    for rank, sampler in enumerate(samplers):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sizes.sequences[:, rank].tolist() == [len(batch) for batch in batches]
        assert sizes.tokens[:, rank].tolist() == [lengths[batch].sum() for batch in batches]
        assert sizes.longest[:, rank].tolist() == [lengths[batch].max(initial=0) for batch in batches]
    assert samplers[0].tokens_per_step * len(samplers[0]) == pytest.approx(lengths.sum())
    assert samplers[0].sequences_per_step * len(samplers[0]) == pytest.approx(len(lengths))
    report = json.loads(json.dumps(samplers[0].report()))
    check_report(report, lengths, [list(sampler) for sampler in samplers], arguments["cost"])


def check_report(report, lengths, batches, cost):
    """Compare the report of an epoch with a loop over the batches of all ranks."""
    steps = [[lengths[batch] for batch in step] for step in zip(*batches, strict=True)]
    assert (report["rows"], report["tokens"], report["steps"]) == (len(lengths), lengths.sum(), len(steps))
    assert report["sequences_per_step"] == pytest.approx(len(lengths) / len(steps))
    found = []
    for bucket in report["buckets"]:  # in the order of their lengths
        longest = np.sort(lengths)[::-1][sum(of["rows"] for of in found)]
        assert bucket["longest"] == longest
        assert bucket["steps"] == -(-bucket["rows"] // (bucket["sequences"] * len(batches)))
        found.append(bucket)
    assert sum(bucket["rows"] for bucket in found) == len(lengths)
    assert sum(bucket["steps"] for bucket in found) == len(steps)
    padded = sum(len(batch) * batch.max(initial=0) for step in steps for batch in step)
    assert report["waste"] == pytest.approx(1 - lengths.sum() / padded, abs=1e-12)
    tokens = np.array([[batch.sum() for batch in step] for step in steps])
    assert report["imbalance"] == pytest.approx(np.quantile(tokens.max(1) / tokens.mean(1) - 1, 0.99), abs=1e-12)
    slowest = [
        max(cost.per_step * batch.max(initial=0) + cost.per_token * batch.sum() + cost.per_batch for batch in step)
        for step in steps
    ]
    assert report["cost"] == pytest.approx(sum(slowest) / lengths.sum())
    means = np.array([np.concatenate(step).mean() for step in steps])
    varies = len(means) > 2 and np.ptp(means[1:]) > 1e-9 and np.ptp(means[:-1]) > 1e-9
    expected = np.corrcoef(means[:-1], means[1:])[0, 1] if varies else 0.0
    assert report["correlation"] == pytest.approx(expected, abs=1e-6)


def test_shuffle_quality():
    lengths = np.random.default_rng(0).lognormal(3, 0.7, 60_000).astype(int) + 1
    sampler = LengthBucketSampler(lengths, max_tokens=1_200)
    report = sampler.report()
    assert report["steps"] > 1_000
    assert abs(report["correlation"]) < 0.1
    assert report["waste"] < 0.15
    assert report["alternatives"]["random"]["waste"] > 0.5
    assert report["alternatives"]["sorted pool"]["correlation"] > 0.5
    for name in ("fixed width", "quantiles"):
        assert 0.02 < report["alternatives"][name]["waste"] < 0.5
        assert abs(report["alternatives"][name]["correlation"]) < 0.1
    assert report["cost"] < min(report["alternatives"][name]["cost"] for name in ("fixed width", "quantiles"))
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    again = {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}
    assert all(len(batch) < 8 for batch in again)  # a few of the longest rows may meet again by chance


def test_any_two_rows_of_a_bucket_meet_equally_often():
    rows, size, epochs = 30, 6, 3_000
    sampler = LengthBucketSampler(np.arange(rows) + 1, max_sequences=size, num_buckets=1)
    together = np.zeros((rows, rows))
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in sampler:
            together[np.ix_(batch, batch)] += 1
    met = together[np.triu_indices(rows, 1)]
    expected = epochs * (size - 1) / (rows - 1)
    assert met.mean() == pytest.approx(expected)
    score = ((met - expected) ** 2 / expected).sum() / met.size  # about 1 for independent meetings
    assert score < 1.2


def test_balance_of_ranks():
    lengths = np.random.default_rng(0).lognormal(2.4, 0.9, 12_500).clip(1, 159).astype(int)  # like EWT's
    for world_size in (2, 4, 8):
        sampler = LengthBucketSampler(lengths, max_tokens=1024, num_replicas=world_size, rank=0)
        assert max(sampler.local_batches(epoch).imbalance for epoch in range(5)) < 0.03


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40))
@pytest.mark.filterwarnings("ignore:all .* rows have length")
def test_budget_holds_for_each_length_column(pairs):
    lengths = np.array(pairs)
    sampler = LengthBucketSampler(lengths, max_tokens=20)
    batches = list(sampler)
    assert sorted(rows_of(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert (lengths[batch].sum(0) <= 20).all()
        assert (np.diff(lengths[batch].max(1)) <= 0).all()


def test_overlong_rows():
    lengths = [9, 3, 30, 4, 31, 2, 5]
    drop = LengthBucketSampler(lengths, max_tokens=10, overlong="drop")
    assert sorted(rows_of(drop)) == [0, 1, 3, 5, 6]
    assert drop.dropped == {"overlong": 2, "empty": 0}
    cut = LengthBucketSampler(lengths, max_tokens=10, overlong="truncate")
    assert sorted(rows_of(cut)) == list(range(7))
    assert cut.tokens_per_step * len(cut) == 10 + 10 + 9 + 5 + 4 + 3 + 2
    for world_size in (1, 2, 3):
        for sampler in ranks(lengths, world_size, max_tokens=10, overlong="solo"):
            for batch in sampler:
                assert len(batch) == 1 or not {2, 4} & set(batch)
    with pytest.raises(ValueError, match="row 2: 30 tokens, but max_tokens=10"):
        LengthBucketSampler(lengths, max_tokens=10)
    empty = LengthBucketSampler([3, 0, 2], max_tokens=10, empty="drop")
    assert sorted(rows_of(empty)) == [0, 2]
    assert empty.dropped == {"overlong": 0, "empty": 1}


def test_fewer_rows_than_ranks():
    batches = [list(sampler) for sampler in ranks([4, 2], 3, max_tokens=4)]
    assert batches == [[[0]], [[1]], [[]]]


def test_equal_lengths_warn():
    with pytest.warns(UserWarning, match="all 5 rows have length 7: there is nothing to bucket by"):
        sampler = LengthBucketSampler([7] * 5, max_tokens=14)
    assert [len(batch) for batch in sampler] in ([2, 2, 1], [2, 1, 2], [1, 2, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither max_tokens nor max_sequences is given: a batch needs a budget"),
        ({"max_tokens": 0}, "max_tokens=0: must be an integer from 1 to"),
        ({"max_sequences": -1}, "max_sequences=-1: must be an integer from 1 to"),
        ({"max_tokens": 9, "batch_multiple": 0}, "batch_multiple=0: must be an integer from 1 to"),
        ({"max_tokens": 9, "num_buckets": 0}, "num_buckets=0: must be an integer of at least 1"),
        ({"max_tokens": 9, "seed": -1}, "seed=-1: must be an integer from 0 to"),
        ({"max_tokens": 9, "budget": "bytes"}, "budget='bytes': must be one of 'packed', 'padded'"),
        (
            {"max_tokens": 9, "overlong": "cut"},
            "overlong='cut': must be one of 'raise', 'drop', 'truncate', 'solo'",
        ),
        ({"max_tokens": 9, "empty": "x"}, "empty='x': must be one of 'raise', 'drop'"),
        ({"max_tokens": 2**41}, "max_tokens=2199023255552: must be an integer from 1 to"),
        ({"max_tokens": 9, "seed": 2**63}, "seed=9223372036854775808: must be an integer from 0 to"),
        ({"max_tokens": 9, "num_replicas": 0}, "num_replicas=0: must be an integer of at least 1"),
        ({"max_tokens": 9, "num_replicas": 2, "rank": 2}, "rank=2: must be an integer from 0 to 1"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        LengthBucketSampler([1, 2], **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 2.5}, "max_tokens=2.5: must be an integer from 1 to"),
        ({"max_tokens": True}, "max_tokens=True: must be an integer from 1 to"),
        ({"max_sequences": 1.5}, "max_sequences=1.5: must be an integer from 1 to"),
        ({"max_tokens": 9, "batch_multiple": 2.0}, "batch_multiple=2.0: must be an integer from 1 to"),
        ({"max_tokens": 9, "num_buckets": "3"}, "num_buckets='3': must be an integer of at least 1"),
        ({"max_tokens": 9, "seed": None}, "seed=None: must be an integer from 0 to"),
        ({"max_tokens": 9, "shuffle": "no"}, "shuffle='no': must be True or False"),
        ({"max_tokens": 9, "longest_first": 1}, "longest_first=1: must be True or False"),
        ({"max_tokens": 9, "budget": None}, "budget=None: must be one of"),
        ({"max_tokens": 9, "rank": 0.0}, "rank=0.0: must be an integer from 0 to 0"),
    ],
)
def test_arguments_of_other_types_raise(arguments, message):
    with pytest.raises(TypeError, match=message):
        LengthBucketSampler([1, 2], **arguments)


def test_numbers_of_numpy_as_arguments():
    sampler = LengthBucketSampler([1, 2], max_tokens=np.int64(9), seed=np.uint8(3), num_buckets=np.int32(10**9))
    assert rows_of(sampler) == rows_of(LengthBucketSampler([1, 2], max_tokens=9, seed=3))
    assert type(sampler.seed) is int


def test_by_default_a_batch_has_as_many_sequences_as_fit():
    assert list(LengthBucketSampler([1, 3, 2], max_sequences=3)) == [[1, 2, 0]]


@pytest.mark.parametrize("name", ["per_step", "per_token", "per_batch"])
def test_costs_are_numbers(name):
    with pytest.raises(ValueError, match=f"StepCost: {name}=-1.0: must be a number of at least 0"):
        StepCost(**{name: -1.0})
    with pytest.raises(ValueError, match=f"StepCost: {name}=nan: must be a number of at least 0"):
        StepCost(**{name: float("nan")})
    with pytest.raises(TypeError, match=f"StepCost: {name}='1': must be a number of at least 0"):
        StepCost(**{name: "1"})


def test_the_epoch_is_that_of_the_first_batch():
    sampler = LengthBucketSampler(np.arange(200) + 1, max_tokens=300)
    begun = iter(sampler)
    sampler.set_epoch(1)
    assert list(begun) == list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) != list(iter(begun))


def test_without_shuffle_lengths_descend():
    lengths = np.random.default_rng(0).integers(1, 50, 300)
    sampler = LengthBucketSampler(lengths, max_tokens=200, shuffle=False)
    assert (np.diff(lengths[rows_of(sampler)]) <= 0).all()
    assert sampler.report()["waste"] < 0.04
