import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from seqkit.data import LengthBucketSampler
from tests.data.batching.cases import ranks, rows_of, settings, weight


@given(settings(), st.integers(1, 4), st.data())
def test_resumes_at_every_step_again_and_again(case, world_size, data):
    lengths, arguments = case
    full = [list(sampler) for sampler in ranks(lengths, world_size, **arguments)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(full[0])), min_size=1, max_size=3)))
    state = None
    for cut in cuts:
        states = []
        for rank, sampler in enumerate(ranks(lengths, world_size, **arguments)):
            if state is not None:
                sampler.load_state_dict(json.loads(state))
            states.append(json.dumps(sampler.state_dict(step=cut)))
            sampler.load_state_dict(json.loads(states[-1]))
            assert list(sampler) == full[rank][cut:]
            assert sampler.remaining == len(full[rank]) - cut
            assert len(sampler) == len(full[rank])
            sampler.set_epoch(7)
            assert len(list(sampler)) == len(sampler)
        (state,) = set(states)  # the same on all ranks
        assert len(state) < 1000


@given(settings(), st.lists(st.integers(1, 8), min_size=2, max_size=4), st.data())
def test_another_number_of_ranks_loses_and_repeats_nothing(case, world_sizes, data):
    lengths, arguments = case
    seen, state, consumed = [], None, 0
    for number, world_size in enumerate(world_sizes):
        samplers = ranks(lengths, world_size, **arguments)
        for sampler in samplers:
            if state is None:
                sampler.set_epoch(5)
            else:
                sampler.load_state_dict(state)
        batches = [list(sampler) for sampler in samplers]
        remaining = samplers[0].remaining
        assert {len(found) for found in batches} == {remaining}
        assert samplers[0].epoch_batches == consumed + remaining
        steps = data.draw(st.integers(0, remaining)) if number < len(world_sizes) - 1 else remaining
        consumed += steps
        for found in batches:
            seen += rows_of(found[:steps])
            for batch in found:
                assert (np.diff(lengths[batch]) <= 0).all()
                assert len(batch) <= (arguments["max_sequences"] or len(batch))
                assert arguments["max_tokens"] is None or (
                    weight(lengths, batch, arguments["budget"]) <= arguments["max_tokens"]
                )
        states = {json.dumps(sampler.state_dict(step=consumed)) for sampler in samplers}
        state = json.loads(states.pop())
        assert not states  # the same on all ranks
    assert Counter(seen) == Counter(range(len(lengths)))


def test_a_run_without_steps_on_another_number_of_ranks_changes_nothing():
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    (first, _), (other, *_) = ranks(lengths, 2, max_tokens=60), ranks(lengths, 3, max_tokens=60)
    full = list(first)
    other.load_state_dict(first.state_dict(step=4))
    (resumed, _) = ranks(lengths, 2, max_tokens=60)
    resumed.load_state_dict(other.state_dict(step=4))
    assert list(resumed) == full[4:]


def test_the_remaining_rows_are_planned_for_the_new_number_of_ranks():
    lengths = np.random.default_rng(0).lognormal(2.4, 0.9, 5_000).clip(1, 159).astype(int)
    (before,), samplers = ranks(lengths, 1, max_tokens=512), ranks(lengths, 4, max_tokens=512)
    for sampler in samplers:
        sampler.load_state_dict(before.state_dict(step=len(before) // 2))
    tokens = np.array([[lengths[batch].sum() for batch in sampler] for sampler in samplers])
    assert tokens.sum(0).mean() == pytest.approx(samplers[0].tokens_per_step, rel=0.1)
    assert (tokens.max(0) / tokens.mean(0)).mean() < 1.05


def test_the_state_of_another_run_raises():
    state = LengthBucketSampler([1, 2, 3], max_tokens=6).state_dict()
    with pytest.raises(
        ValueError, match=r"rows '3 rows, [0-9a-f]+' in the state, '3 rows, [0-9a-f]+' here; resume"
    ):
        LengthBucketSampler([1, 2, 4], max_tokens=6).load_state_dict(state)
    with pytest.raises(ValueError, match=r"seed 0 in the state, 1 here; .*max_tokens 6 in the state, 7 here"):
        LengthBucketSampler([1, 2, 3], max_tokens=7, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match=r"plan 'other' in the state, '[0-9a-f]+' here"):
        LengthBucketSampler([1, 2, 3], max_tokens=6).load_state_dict({**state, "parts": [[1, 0, "other"]]})
    sampler = LengthBucketSampler([1, 2, 3], max_sequences=2)
    with pytest.raises(ValueError, match="step=3: epoch 0 has 2 batches, of which 0 to 2 can be consumed"):
        sampler.state_dict(step=3)
    sampler.load_state_dict(sampler.state_dict(step=1))
    with pytest.raises(ValueError, match="step=0: epoch 0 has 2 batches, of which 1 to 2 can be consumed"):
        sampler.state_dict(step=0)


class Rows(Dataset):
    def __getitem__(self, index):
        return index

    def __len__(self):
        return 20


@pytest.mark.parametrize("workers", [0, 1])
def test_in_a_loader_only_consumed_batches_count(workers):
    lengths = np.arange(20) + 1
    sampler = LengthBucketSampler(lengths, max_tokens=30)
    assert isinstance(sampler, DistributedSampler)
    assert sampler.sampler is sampler
    full = list(sampler)
    whole = DataLoader(Rows(), sampler=sampler, batch_size=None, num_workers=workers)
    assert list(whole) == full
    assert len(whole) == len(full)
    assert [batch.tolist() for batch in DataLoader(Rows(), batch_sampler=sampler)] == full
    for count, batch in enumerate(whole):
        assert batch == full[count]
        sampler.advance()
        if count == 1:
            break
    resumed = LengthBucketSampler(lengths, max_tokens=30)
    resumed.load_state_dict(sampler.state_dict())
    assert resumed.consumed == 2
    assert list(DataLoader(Rows(), sampler=resumed, batch_size=None, num_workers=workers)) == full[2:]
    resumed.set_epoch(1)
    assert resumed.consumed == 0


def test_an_iterator_has_the_state_of_its_batches():
    lengths = np.arange(40) + 1
    sampler = LengthBucketSampler(lengths, max_tokens=100)
    sampler.set_epoch(3)
    full = list(sampler)
    for cut in range(len(full) + 1):
        iteration = iter(LengthBucketSampler(lengths, max_tokens=100))
        iteration.load_state_dict(sampler.state_dict(0))
        assert [next(iteration) for _ in range(cut)] == full[:cut]
        again = iter(LengthBucketSampler(lengths, max_tokens=100))
        again.load_state_dict(json.loads(json.dumps(iteration.state_dict())))
        assert list(again) == full[cut:]
