"""One or more steps of an encoder from a kept state, and what can be computed so."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn import Downsample, Dropout, Embedding, LockedDropout, Projection, Stack, Upsample, map_state
from seqkit.tasks.inputs import is_bidirectional, takes_state

State = Any
"""What an encoder keeps: a tensor (layers, B, …), or nested tuples of such tensors."""

TOKENWISE = (nn.Identity, Embedding, Projection, Dropout, LockedDropout)


def advance(encoder: nn.Module, values: PackedSequence, state: State | None) -> tuple[PackedSequence, Any, State]:
    """Run an encoder, in evaluation, over the new tokens of some sequences.

    Args:
        encoder: One that :func:`check_steps` accepts.
        values: The new tokens, data (N, D).
        state: What the encoder kept of these sequences; None if they begin.

    Returns:
        The output, data (N, H); the final state as the encoder returns it; what to keep for the next call.
    """
    if type(encoder) is Stack:
        final, kept = None, []
        for number, layer in enumerate(encoder.layers):
            values, layer_final, after = advance(layer, values, None if state is None else state[number])
            final = final if _is_tokenwise(layer) else layer_final
            kept.append(after)
        return values, final, tuple(kept)
    if _is_tokenwise(encoder):
        found = encoder(values)
        return (found if isinstance(found, PackedSequence) else cast(PackedSequence, found[0])), None, ()
    output, final = encoder(values) if state is None else encoder(values, state)
    return output, final, final


def check_steps(name: str, encoder: nn.Module, task: str) -> None:
    """Check that an encoder can continue from a state.

    Raises:
        ValueError: It is bidirectional, changes the number of steps, or takes no state.
    """
    if is_bidirectional(encoder):
        raise ValueError(
            f"{task} cannot stream: {name} is bidirectional, and its backward direction reads later tokens first; "
            f"train it with bidirectional=False, or call predict on whole sequences"
        )
    for module in encoder.modules():
        if isinstance(module, Downsample | Upsample):
            raise ValueError(
                f"{task} cannot stream: {name} has {type(module).__name__}, which changes the number of steps; "
                f"train it without this layer, or call predict on whole sequences"
            )
    if type(encoder) is Stack:
        for layer in encoder.layers:
            check_steps(f"layer {type(layer).__name__} of {name}", layer, task)
    elif not _is_tokenwise(encoder) and not takes_state(encoder):
        raise ValueError(
            f"{task} cannot stream: {name} takes no state; give its forward a second argument, the state that it "
            f"returns, as seqkit.nn.LSTM has, or set its attribute is_tokenwise = True if it computes each token "
            f"alone"
        )


def check_encode(model: nn.Module) -> None:
    """Check that a model has no way of its own from its inputs to the encoder's output.

    Raises:
        ValueError: It has.
    """
    if not type(model).encode.__module__.startswith("seqkit."):  # type: ignore[attr-defined]
        raise ValueError(
            f"{type(model).__name__} cannot stream: it has a method `encode` of its own, which reads whole "
            f"sequences; give it an encoder of your own instead, whose forward takes the state as second argument"
        )


def check_tokenwise(name: str, embedding: nn.Module, task: str) -> None:
    """Check that an embedding computes each token alone.

    Raises:
        ValueError: It may not.
    """
    if not _is_tokenwise(embedding):
        raise ValueError(
            f"{task} cannot stream: {name} is {type(embedding).__name__}, which may read more than one token at "
            f"once; set its attribute is_tokenwise = True if it computes each token alone"
        )


def select_rows(state: State, rows: Tensor) -> State:
    """Return the states of some sequences (R,)."""
    return map_state(state, lambda values: values.index_select(1, rows))


def merge_rows(kept: State | None, new: State, rows: Tensor, size: int) -> State:
    """Return the states of all ``size`` sequences, where those of some (R,) are new; ``kept`` is not changed."""
    if isinstance(new, Tensor):
        every = new.new_zeros(new.shape[0], size, *new.shape[2:]) if kept is None else kept
        return torch.index_copy(every, 1, rows, new)
    parts = [None] * len(new) if kept is None else kept
    return tuple(merge_rows(*pair, rows, size) for pair in zip(parts, new, strict=True))


def _is_tokenwise(module: nn.Module) -> bool:
    return isinstance(module, TOKENWISE) or bool(getattr(module, "is_tokenwise", False))
