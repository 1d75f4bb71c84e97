from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset, concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkit.data import LengthBucketSampler, PackCollate, PackedStream


def rows_of(lengths):
    return Dataset.from_dict(
        {"id": list(range(len(lengths))), "x": [[n] * length for n, length in enumerate(lengths)]}
    )


def lengths_like_sentences(rows, seed=0):
    return np.random.default_rng(seed).lognormal(2.4, 0.9, rows).clip(1, 159).astype(int)


def stream_of(lengths, num_shards=4, **options):
    dataset = rows_of(lengths).to_iterable_dataset(num_shards=num_shards)
    return PackedStream(dataset, ["x"], ["id"], **{"pool": 50, "max_tokens": 200, **options})


def ids(batches):
    return [batch.targets["id"].tolist() for batch in batches]


def count_rows(batches):
    return Counter(row for batch in ids(batches) for row in batch)


class TestBatches:
    @settings(max_examples=20)
    @given(
        st.lists(st.integers(1, 40), min_size=1, max_size=60),
        st.integers(1, 30),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from(["packed", "padded"]),
    )
    def test_every_row_once_within_budget(self, lengths, pool, shuffle, epoch, budget):
        options = {"shuffle": shuffle, "max_tokens": 50, "max_sequences": 5, "budget": budget}
        stream = stream_of(lengths, 1, pool=pool, **options)
        stream.set_epoch(epoch)
        batches = list(stream)
        assert count_rows(batches) == Counter(range(len(lengths)))
        for batch in batches:
            rows = batch.targets["id"].tolist()
            sizes = [lengths[row] for row in rows]
            assert (sum(sizes) if budget == "packed" else len(sizes) * max(sizes)) <= 50
            assert len(rows) <= 5
            expected = PackCollate("x", "id")([{"x": [row] * lengths[row], "id": row} for row in rows])
            assert torch.equal(batch.inputs["x"].data, expected.inputs["x"].data)
            assert torch.equal(batch.inputs["x"].batch_sizes, expected.inputs["x"].batch_sizes)

    def test_rows_are_numbered_in_the_order_of_the_stream(self):
        for batch in stream_of([3, 1, 2] * 30, 1, shuffle=False):
            assert batch.rows.tolist() == batch.targets["id"].tolist()

    def test_epochs_differ_and_repeat(self):
        stream = stream_of(lengths_like_sentences(400), 8)
        epochs = []
        for epoch in (0, 1, 0):
            stream.set_epoch(epoch)
            epochs.append(ids(stream))
        assert epochs[0] == epochs[2] != epochs[1]
        first = [min(row // 50 for batch in epoch[:3] for row in batch) for epoch in epochs[:2]]
        assert first[0] != first[1]  # the order of the shards differs

    def test_shares_of_ranks_are_disjoint(self):
        lengths = lengths_like_sentences(300)
        for shards in (1, 4, 6):
            shares = [list(stream_of(lengths, shards, num_replicas=3, rank=rank)) for rank in range(3)]
            assert sum((count_rows(share) for share in shares), Counter()) == Counter(range(300))
            rows = [row for share in shares for batch in share for row in batch.rows.tolist()]
            assert len(set(rows)) == 300

    def test_policies(self):
        lengths = [3, 500, 2, 1, 300, 4]
        with pytest.raises(ValueError, match="row 1 of the stream: 500 tokens"):
            list(stream_of(lengths, 1))
        assert count_rows(stream_of(lengths, 1, overlong="drop", pool=1)) == Counter([0, 2, 3, 5])
        assert count_rows(stream_of(lengths, 1, overlong="solo")) == Counter(range(6))
        cut = [batch.inputs["x"].data.numel() for batch in stream_of(lengths, 1, overlong="truncate")]
        assert sum(cut) == 3 + 200 + 2 + 1 + 200 + 4
        with pytest.raises(ValueError, match="length 0"):
            list(stream_of([1, 0, 2], 1))
        assert count_rows(stream_of([1, 0, 2], 1, empty="drop", pool=1)) == Counter([0, 2])

    def test_waste_is_near_that_of_the_planned_dataset(self):
        lengths = lengths_like_sentences(12_500)
        plan = LengthBucketSampler(lengths, max_tokens=1024)
        pool = 50 * round(plan.sequences_per_step)
        batches = list(stream_of(lengths, 16, pool=pool, max_tokens=1024))
        tokens = sum(batch.inputs["x"].data.numel() for batch in batches)
        area = sum(len(batch.rows) * len(batch.inputs["x"].batch_sizes) for batch in batches)
        waste = 1 - tokens / area
        assert waste <= 1.3 * plan.report()["waste"]
        assert len(batches) <= 1.1 * len(plan)  # the last pool also makes batches that are not full
        stream = stream_of(lengths, 16, pool=pool, max_tokens=1024)
        assert stream.tokens_per_step == pytest.approx(plan.tokens_per_step, rel=0.05)
        assert stream.sequences_per_step == pytest.approx(plan.sequences_per_step, rel=0.1)

    def test_all_ranks_have_the_same_means(self):
        lengths = np.sort(lengths_like_sentences(400))  # the ranks' shards differ
        ranks = [stream_of(lengths, 2, num_replicas=2, rank=rank) for rank in range(2)]
        assert ranks[0].tokens_per_step == ranks[1].tokens_per_step
        assert ranks[0].sequences_per_step == ranks[1].sequences_per_step

    def test_an_empty_pool_raises(self):
        with pytest.raises(ValueError, match="pool=0: must be an integer of at least 1"):
            stream_of([1, 2], 1, pool=0)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pool": 2.5}, "pool=2.5: must be an integer of at least 1"),
            ({"seed": -1}, "seed=-1: must be an integer from 0 to"),
            ({"overlong": "cut"}, "overlong='cut': must be one of"),
            ({"empty": "x"}, "empty='x': must be one of"),
            ({"budget": "bytes"}, "budget='bytes': must be one of"),
            ({"max_tokens": 2.5}, "max_tokens=2.5: must be an integer"),
            ({"shuffle": 1}, "shuffle=1: must be True or False"),
            ({"num_replicas": 2, "rank": 2}, "rank=2: must be an integer from 0 to 1"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises((TypeError, ValueError), match=message):
            PackedStream(rows_of([1, 2]).to_iterable_dataset(), ["x"], **({"max_tokens": 9} | options))

    def test_a_stream_without_rows_raises(self):
        with pytest.raises(ValueError, match="the stream has no row that is kept"):
            _ = stream_of([500, 600], 1, overlong="drop").tokens_per_step


def test_any_iterable_dataset():
    def rows():
        for n in range(30):
            yield {"x": [n] * (n % 7 + 1), "id": n}

    stream = PackedStream(IterableDataset.from_generator(rows), ["x"], ["id"], max_sequences=4)
    assert count_rows(stream) == Counter(range(30))
    halves = concatenate_datasets([rows_of([1, 2]), rows_of([3])]).to_iterable_dataset()
    assert count_rows(PackedStream(halves, ["x"], ["id"], max_sequences=4)) == Counter([0, 1, 0])
