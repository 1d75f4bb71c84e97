"""Recurrent layers on packed data: one function, several implementations, and the choice between them.

- ``native``: compiled, for float32 on a CPU; present if a compiler was there at install.
- ``reference``: the plain loop under autograd. Everything, slowly.
- ``closed_form``: the backward in closed form, in plain torch operations. Any device; no ``projection``.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seqkit.kernels import closed_form, native, reference
from seqkit.kernels.layer_function import LayerFunction
from seqkit.kernels.layout import Mode, Steps

__all__ = ["Backend", "Mode", "Steps", "available", "choose", "layer"]

Backend = Literal["native", "closed_form", "reference"]


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
    dtype = weights[0].dtype
    backend = backend or choose(data.device, dtype, projected=projected)
    if backend not in available():
        raise ValueError(f"backend is {backend!r}; it is one of {available()}")
    if projected and backend != "reference":
        raise ValueError(f"backend {backend!r} has no proj_size; leave it open or take 'reference'")
    if backend == "native" and (data.device.type != "cpu" or dtype != torch.float32):
        raise ValueError(f"backend 'native' is for float32 on a CPU, not {dtype} on {data.device}; leave it open")
    with torch.autocast(data.device.type, enabled=False):
        data, state = data.to(dtype), tuple(s.to(dtype) for s in state)
        if backend == "reference":
            return reference.layer(mode, data, steps, state, weights)
        sweeps = native if backend == "native" else closed_form
        outputs: tuple[Tensor, ...] = LayerFunction.apply(  # type: ignore[no-untyped-call]
            sweeps, mode, steps, len(state), data, *state, *weights
        )
        return outputs[0], outputs[1:]


def available() -> tuple[Backend, ...]:
    """The backends that are present on this machine, the fastest first."""
    everywhere: tuple[Backend, ...] = ("closed_form", "reference")
    return everywhere if native.compiled() is None else ("native", *everywhere)


def choose(device: torch.device, dtype: torch.dtype, *, projected: bool = False) -> Backend:
    """The fastest backend that can run a layer with weights of this device and dtype."""
    if projected:
        return "reference"
    if device.type == "cpu" and dtype == torch.float32 and "native" in available():
        return "native"
    return "closed_form"
