from types import SimpleNamespace

import pytest
import torch

from seqkit.tasks.language_model.states import gather_sequences, rank_sequences


def made(numbers):
    """A nested state of some sequences of a text, each marked by its number."""
    values = torch.tensor(numbers, dtype=torch.float32)
    return (values.expand(2, len(numbers)).unsqueeze(-1).clone(), (values.reshape(1, -1, 1) + 0.5,))


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("sequences", [3, 4, 7])
def test_each_rank_finds_its_sequences_on_any_number_of_ranks(before, after, sequences, monkeypatch):
    numbers = list(range(sequences))
    states = [made(numbers[rank::before]) for rank in range(before)]

    def gather(held, own):
        torch.testing.assert_close(own, states[0])
        held[:] = states

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    saved = gather_sequences(states[0], SimpleNamespace(world_size=before))
    torch.testing.assert_close(saved, made(numbers), rtol=0, atol=0)
    for rank in range(after):
        found = rank_sequences(saved, SimpleNamespace(world_size=after, global_rank=rank))
        torch.testing.assert_close(found, made(numbers[rank::after]), rtol=0, atol=0)


def test_ranks_that_end_at_different_steps_can_be_saved(monkeypatch):
    """At the last step of a text a rank without tokens has the states of the step before."""
    states = [made([0]), made([1, 3])]
    monkeypatch.setattr(
        torch.distributed, "all_gather_object", lambda held, own: held.__setitem__(slice(2), states)
    )
    saved = gather_sequences(states[0], SimpleNamespace(world_size=2))
    torch.testing.assert_close(saved, made([0, 1, 3]), rtol=0, atol=0)
