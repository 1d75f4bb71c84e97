"""Recurrent layers on packed data: one function, several implementations, and the choice between them.

- ``native``: compiled, for float32 on a CPU; available if there was a compiler at installation.
- ``closed_form``: the backward in closed form, in torch operations, for any device and any dtype.
- ``reference``: the plain loop under autograd; slow, supports everything.

`torch.compile` keeps a layer in its graph, as one operator. The transforms of `torch.func` and batched backwards
work with all implementations; second derivatives and forward-mode differentiation use ``reference``.

``native`` runs on as many threads as `torch.get_num_threads()` returns. On Linux they are those of torch's own
OpenMP runtime, elsewhere and in a forked process those of a pool. Any number of Python threads may call it at once.

The same input gives the same bits in every run with the same number of threads. With another number of threads,
both sweeps of ``native`` still give the same bits; the large products after them are torch's, which may add in
another order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqkit.kernels import compile_op, reference
from seqkit.kernels.autograd import LayerFunction, TransformedLayer
from seqkit.kernels.cells import NO_EXTRAS, Call, Extras, Layer, Mode, is_projected, zeros
from seqkit.kernels.compiled import load_library
from seqkit.kernels.dispatch import SWEEPS, Backend, available, choose
from seqkit.packed import PackedLayout
from seqkit.upstream.torch import forward_mode_active, transforms_active

__all__ = ["Backend", "Extras", "Mode", "available", "choose", "layer", "load_library"]


def layer(
    mode: Mode,
    data: Tensor,
    layout: PackedLayout,
    state: Sequence[Tensor] | None,
    weights: Sequence[Tensor],
    extras: Extras = NO_EXTRAS,
    *,
    backend: Backend | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one recurrent layer, of one or two directions, over packed data.

    Under autocast it computes in the dtype of the weights.

    Args:
        mode: The cell, as `torch.nn.RNNBase` names it.
        data: (N, I) packed inputs.
        layout: Where the tokens are, ``PackedLayout.of(packed)``.
        state: h_0 (D, B, P) and, of an LSTM, c_0 (D, B, H), for D directions; None means zeros.
        weights: Flat, in the order of `torch.nn.RNNBase.all_weights`.
        extras: The options that torch's layers lack.
        backend: The implementation; by default the fastest that supports the layer.

    Returns:
        The output (N, D·P) and the final states, with the shapes of ``state``.

    Raises:
        ValueError: The backend is unknown or does not support this layer.
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
        called = Layer(mode, layout, state, weights, extras)
        backend = choose(data.device, dtype, projected=is_projected(mode, weights), forced=backend)
        if backend == "reference" or forward_mode_active():
            return reference.layer(called, data)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (data, *called.tensors))
        call = Call(SWEEPS[backend], mode, layout, keep)
        function: Any = TransformedLayer if transforms_active() else LayerFunction
        outputs: tuple[Tensor, ...] = function.apply(call, data, *called.tensors)
        return outputs[0], outputs[1 : call.num_outputs]
