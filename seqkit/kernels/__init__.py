"""Recurrent layers on packed data: one function, several implementations, and the choice between them.

- ``reference``: the plain loop under autograd. Everything, slowly.
- ``closed_form``: the backward in closed form, in plain torch operations. Any device; no ``projection``.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seqkit.kernels import closed_form, reference
from seqkit.kernels.layer_function import LayerFunction
from seqkit.kernels.layout import Mode, Steps

__all__ = ["Backend", "Mode", "Steps", "available", "choose", "layer"]

Backend = Literal["reference", "closed_form"]


def layer(
    mode: Mode,
    data: Tensor,
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    backend: Backend | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one recurrent layer, of one or two directions, over packed data.

    Under autocast it computes in the dtype of the weights.

    Args:
        mode: The cell, as `torch.nn.RNNBase` names it.
        data: (N, I) packed inputs.
        steps: Where the tokens lie, ``Steps(packed.batch_sizes)``.
        state: h_0 (D, B, P) and, of an LSTM, c_0 (D, B, H), where D is the number of directions.
        weights: The layer's, flat, in the order of `torch.nn.RNNBase.all_weights`.
        backend: Which implementation; by default the fastest that can.

    Returns:
        The output (N, D·P) and the final states, of the shapes of `state`.

    Raises:
        ValueError: The backend is unknown or cannot run this layer.
    """
    projected = len(weights) // state[0].size(0) in (3, 5)
    backend = backend or choose(projected=projected)
    dtype = weights[0].dtype
    with torch.autocast(data.device.type, enabled=False):
        data, state = data.to(dtype), tuple(s.to(dtype) for s in state)
        if backend == "reference":
            return reference.layer(mode, data, steps, state, weights)
        if backend not in available():
            raise ValueError(f"backend is {backend!r}; it is one of {available()}")
        if projected:
            raise ValueError("backend 'closed_form' has no proj_size; leave it open or take 'reference'")
        outputs: tuple[Tensor, ...] = LayerFunction.apply(  # type: ignore[no-untyped-call]
            closed_form, mode, steps, len(state), data, *state, *weights
        )
        return outputs[0], outputs[1:]


def available() -> tuple[Backend, ...]:
    """The backends that are present on this machine, the fastest first."""
    return ("closed_form", "reference")


def choose(*, projected: bool) -> Backend:
    """The fastest backend that can run such a layer."""
    return "reference" if projected else "closed_form"
