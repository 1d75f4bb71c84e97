"""The encoder's state of continuous text in a checkpoint: all sequences, in the order of the text."""

from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqkit.nn import map_state
from seqkit.tasks.checkpoints.random_state import gather_from_ranks
from seqkit.tasks.language_model.encoders import State, num_sequences


def gather_sequences(state: State, trainer: Trainer | None) -> State:
    """Return the state of the sequences of all ranks: sequence i is on rank i mod the number of ranks."""
    states = gather_from_ranks(map_state(state, lambda values: values.cpu()), trainer)
    places = [(place, rank) for rank, part in enumerate(states) for place in range(num_sequences(part))]
    order = sorted(range(len(places)), key=places.__getitem__)
    return map_state(_concatenate(states), lambda values: values[:, order])


def rank_sequences(state: State, trainer: Trainer) -> State:
    """Return the state of this rank's sequences, of those of :func:`gather_sequences`, on any number of ranks."""
    rank, ranks = trainer.global_rank, trainer.world_size
    return map_state(state, lambda values: values[:, rank::ranks].contiguous())


def _concatenate(states: Sequence[State]) -> State:
    if isinstance(states[0], Tensor):
        return torch.cat(list(states), 1)
    return tuple(_concatenate(parts) for parts in zip(*states, strict=True))
