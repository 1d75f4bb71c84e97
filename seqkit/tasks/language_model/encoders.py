"""What a language model requires of its encoder: one direction and, for continuous text, a state."""

from typing import Any

from torch import Tensor, nn

from seqkit.nn import map_state
from seqkit.tasks.inputs import check_output_size, check_steps_kept, is_bidirectional, takes_state

State = Any
"""An encoder's state: a tensor (layers, B, H), or a tuple of states."""


def checked_encoder(encoder: nn.Module) -> nn.Module:
    """Return an encoder if its output at a step depends on nothing later.

    Raises:
        ValueError: It is bidirectional or changes the number of steps.
    """
    check_output_size(encoder)
    if is_bidirectional(encoder):
        raise ValueError(
            f"LanguageModel predicts the next token, but encoder {type(encoder).__name__} is bidirectional: its "
            f"backward direction has read that token already; set the encoder's bidirectional=False, and for both "
            f"directions LanguageModel's bidirectional=True, which trains two separate encoders"
        )
    check_steps_kept(encoder, "LanguageModel")
    return encoder


def check_takes_state(encoder: nn.Module) -> None:
    """Check that an encoder takes a state as its second argument.

    Raises:
        ValueError: It does not.
    """
    if not takes_state(encoder):
        raise ValueError(
            f"encoder {type(encoder).__name__} does not take an initial state, which continuous text and "
            f"generate need; use seqkit.nn.LSTM, GRU or RNN as the encoder"
        )


def first_sequences(state: State, batch_size: int) -> State | None:
    """Return the state of the first sequences, or None if it has fewer (a checkpoint's, from a smaller batch)."""
    if num_sequences(state) < batch_size:
        return None
    return map_state(state, lambda values: values[:, :batch_size].contiguous())


def num_sequences(state: State) -> int:
    """Return B, the number of sequences of a state."""
    return int(state.shape[1]) if isinstance(state, Tensor) else num_sequences(state[0])
