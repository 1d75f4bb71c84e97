import json

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import SequenceDataModule
from seqkit.data import BPTTSampler, Continuous, ContinuousText
from seqkit.data.continuous import concatenate_rows

ROWS = [[0, 1, 2], [], [3], [4, 5]]


def make(tokens, batch_size, *, training=True, world_size=1, rank=0, **options):
    text = ContinuousText(torch.arange(tokens + 1).numpy(), "text", batch_size, num_replicas=world_size, rank=rank)
    return text, BPTTSampler(text, Continuous(batch_size=batch_size, **options), training=training, seed=3)


def read(text, sampler):
    """Return the inputs and targets of each sequence, over all steps of an epoch."""
    found = {}
    for steps in sampler:
        batch = text[steps]
        inputs, targets = batch.inputs["text"], batch.targets["text"]
        starts = inputs.batch_sizes.cumsum(0) - inputs.batch_sizes
        for rank, number in enumerate(batch.rows.tolist()):
            index = starts[inputs.batch_sizes > rank] + rank
            pair = found.setdefault(number, ([], []))
            pair[0].extend(inputs.data[index].tolist())
            pair[1].extend(targets.data[index].tolist())
    return found


@pytest.mark.parametrize("append_eos", [True, False])
def test_rows_are_concatenated_in_their_order(append_eos):
    rows = datasets.Dataset.from_dict(
        {"ids": ROWS}, datasets.Features({"ids": datasets.List(datasets.Value("int32"))})
    )
    expected = [9]
    for row in ROWS:
        expected += row + [9] * append_eos
    assert concatenate_rows(rows, "ids", 9, append_eos=append_eos).tolist() == expected
    backwards = rows.select([3, 2, 1, 0])  # a view
    assert concatenate_rows(backwards, "ids", 9, append_eos=False).tolist() == [9, 4, 5, 3, 0, 1, 2]


@given(
    tokens=st.integers(1, 400),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 3),
    bptt=st.integers(1, 40),
    training=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_each_token_is_predicted_once_from_the_one_before(tokens, batch_size, world_size, bptt, training, epoch):
    batch_size = max(min(batch_size, tokens), 1)
    world_size = min(world_size, batch_size)
    predicted, steps = [], set()
    for rank in range(world_size):
        text, sampler = make(tokens, batch_size, training=training, world_size=world_size, rank=rank, bptt=bptt)
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler)
        steps.add(tuple(sampler))
        for inputs, targets in read(text, sampler).values():
            assert targets == [i + 1 for i in inputs]
            predicted += targets
    assert sorted(predicted) == list(range(1, tokens + 1))
    assert len(steps) == 1
    assert all(start < stop for start, stop in steps.pop())


def test_training_steps_vary_as_in_awd_lstm():
    _, sampler = make(400_000, 2, bptt=70)
    lengths = np.diff([start for start, _ in sampler] + [200_000])
    assert len(set(lengths.tolist())) > 10
    assert np.median(lengths) == pytest.approx(70, abs=2)
    assert (np.abs(lengths - 35) < 17).mean() == pytest.approx(0.05, abs=0.02)
    assert lengths[np.abs(lengths - 70) < 20].std() == pytest.approx(5, abs=0.5)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_steps_without_variation_are_equal():
    _, sampler = make(1000, 1, bptt=100, short=0.0, deviation=0.0)
    assert [stop - start for start, stop in sampler] == [100] * 10
    _, sampler = make(1030, 1, bptt=100, training=False)
    assert [stop - start for start, stop in sampler] == [100] * 10 + [30]


@pytest.mark.parametrize("short", [0.05, 1.0])
def test_steps_of_one_token(short):
    _, sampler = make(100, 1, bptt=1, short=short)
    assert list(sampler) == [(step, step + 1) for step in range(100)]
    assert sampler.tokens_per_step == 1


def test_a_state_is_plain_and_resumes_on_other_ranks():
    _, sampler = make(5000, 4)
    sampler.set_epoch(2)
    state = json.loads(json.dumps(sampler.state_dict(3)))
    _, other = make(5000, 4, world_size=2, rank=1)
    other.load_state_dict(state)
    assert list(other) == list(sampler)[3:]
    assert len(other) == len(sampler)
    other.set_epoch(3)
    assert len(list(other)) == len(other)
    _, longer = make(5001, 4)
    with pytest.raises(ValueError, match=r"data and settings: text '5000 tokens in 4 sequences, .*'5001 tokens"):
        longer.load_state_dict(state)
    _, shorter = make(5000, 4, short=0.5)
    with pytest.raises(ValueError, match=r"short 0.05 in the state, 0.5 here; resume with those the state"):
        shorter.load_state_dict(state)


def test_means_of_a_step():
    _, sampler = make(1030, 4, bptt=20)
    assert sampler.tokens_per_step * len(sampler) == 1030
    assert sampler.sequences_per_step == 4


def module(**options):
    rows = {"text": ["to be or", "not to be", "that", "is the question"], "label": ["a", "b", "a", "b"]}
    return SequenceDataModule(datasets.Dataset.from_dict(rows), inputs="text", **options)


class TestModule:
    def test_holds_out_the_last_rows(self):
        data = module(continuous=Continuous(batch_size=1), validation_fraction=0.25, test_fraction=0.25)
        assert data.splits["test"]["text"][:] == ["is the question"]
        assert data.splits["validation"]["text"][:] == ["that"]
        assert data.splits["train"]["text"][:] == ["to be or", "not to be"]

    def test_predicts_row_by_row_without_a_budget(self):
        data = module(continuous=Continuous(batch_size=1, evaluation_batch_size=1), test_fraction=0.5)
        (batch,) = data.predict_dataloader()
        assert sorted(batch.rows.tolist()) == [0, 1]
        assert batch.targets == {}

    def test_other_inputs_raise(self):
        data = module(continuous=Continuous(), targets="label")
        with pytest.raises(ValueError, match=r"continuous text is one input column .* targets \['label'\]"):
            data.train_dataloader()

    def test_streaming_raises(self):
        with pytest.raises(ValueError, match="continuous text needs all rows in their order; set streaming=False"):
            module(continuous=Continuous(), streaming=True)

    def test_an_iterable_dataset_raises(self):
        rows = datasets.Dataset.from_dict({"text": ["ab", "cd"]}).to_iterable_dataset()
        data = SequenceDataModule(rows, "text", continuous=Continuous())
        with pytest.raises(ValueError, match="continuous need all rows at once, but train is a stream"):
            data.train_dataloader()


class TestBadInput:
    def test_more_sequences_than_tokens(self):
        with pytest.raises(ValueError, match="a text of 3 tokens cannot be cut into 4 sequences; set continuous"):
            make(3, 4)

    def test_more_ranks_than_sequences(self):
        with pytest.raises(ValueError, match="2 sequences cannot be shared by 3 ranks"):
            make(30, 2, world_size=3)

    @pytest.mark.parametrize("options", [{"batch_size": 0}, {"bptt": 0}, {"evaluation_batch_size": 0}])
    def test_sizes_below_one(self, options):
        with pytest.raises(ValueError, match=f"{next(iter(options))}=0: must be an integer of at least 1"):
            Continuous(**options)

    def test_a_share_above_one(self):
        with pytest.raises(ValueError, match=r"short=1\.5: must be a number from 0 to 1"):
            Continuous(short=1.5)
