"""The state that an encoder carries from one batch of continuous text to the next."""

import inspect
from typing import Any

from torch import Tensor, nn

State = Any
"""An encoder's state: a tensor (layers, B, H), or a tuple of states."""


def state_batch_size(state: State) -> int:
    """Return B, the number of sequences of a state."""
    return int(state.shape[1]) if isinstance(state, Tensor) else state_batch_size(state[0])


def check_takes_state(encoder: nn.Module) -> None:
    """Check that an encoder takes a state as its second argument.

    Raises:
        ValueError: It does not.
    """
    if len(inspect.signature(encoder.forward).parameters) < 2:
        raise ValueError(
            f"encoder {type(encoder).__name__} takes no state to go on from, as continuous text and generate need; "
            f"use seqkit.nn.LSTM, GRU or RNN as the encoder"
        )
