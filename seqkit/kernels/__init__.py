"""Recurrent layers on packed data: one function, several implementations, and the choice between them.

- ``native``: compiled, for float32 on a CPU; present if a compiler was there at install.
- ``reference``: the plain loop under autograd. Everything, slowly.
- ``closed_form``: the backward in closed form, in plain torch operations. Any device, any dtype.

`torch.compile` keeps a layer in its graph, as one operator. Second derivatives go through ``reference``.

The same input gives the same bits in every run with the same number of threads. With another number ``native``
still gives the same bits forward and in its sweep back; the large products after that are torch's, which may add in
another order.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels import compile_op, reference
from seqkit.kernels.autograd import LayerFunction
from seqkit.kernels.cells import PLAIN, Extras, Mode, is_projected, zeros
from seqkit.kernels.dispatch import SWEEPS, Backend, available, choose
from seqkit.kernels.library import load_library
from seqkit.packed import PackedLayout

__all__ = ["Backend", "Extras", "Mode", "available", "choose", "layer", "load_library"]


def layer(
    mode: Mode,
    data: Tensor,
    layout: PackedLayout,
    state: Sequence[Tensor] | None,
    weights: Sequence[Tensor],
    extras: Extras = PLAIN,
    *,
    backend: Backend | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one recurrent layer, of one or two directions, over packed data.

    Under autocast it computes in the dtype of the weights.

    Args:
        mode: The cell, as `torch.nn.RNNBase` names it.
        data: (N, I) packed inputs.
        layout: Where the tokens are, ``PackedLayout.of(packed)``.
        state: h_0 (D, B, P) and, of an LSTM, c_0 (D, B, H), where D is the number of directions; None for zeros.
        weights: The layer's, flat, in the order of `torch.nn.RNNBase.all_weights`.
        extras: What the layer does that torch's does not.
        backend: Which implementation; by default the fastest that can.

    Returns:
        The output (N, D·P) and the final states, of the shapes of `state`.

    Raises:
        ValueError: The backend is unknown or cannot run this layer.
    """
    dtype = weights[0].dtype
    with torch.autocast(data.device.type, enabled=False):
        data = data.to(dtype)
        if state is not None:
            state = [s.to(dtype) for s in state]
        if torch.compiler.is_compiling() and backend != "reference":
            return compile_op.layer(mode, data, layout, state, weights, extras, backend)
        if state is None:
            state = zeros(mode, layout, weights)
        backend = choose(data.device, dtype, projected=is_projected(mode, weights), forced=backend)
        if backend == "reference":
            return reference.layer(mode, data, layout, state, weights, extras)
        tensors = (data, *state, *weights, *extras)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        outputs: tuple[Tensor, ...] = LayerFunction.apply(  # type: ignore[no-untyped-call]
            SWEEPS[backend], mode, layout, len(state), keep, *tensors
        )
        return outputs[0], outputs[1:]
