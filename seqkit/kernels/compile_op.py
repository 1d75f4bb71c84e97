"""One recurrent layer as operators of torch, so that `torch.compile` keeps it in its graph.

Eager code calls `seqkit.kernels.autograd` directly: an operator written in Python costs more per call.

Without an initial state, only the values of the batch sizes give the number of sequences, so a graph does not know
the size of the final states. ``torch.compile(fullgraph=True)`` accepts that; by default Dynamo breaks the graph
there, unless ``torch._dynamo.config.capture_dynamic_output_shape_ops`` is set or there are ``unsorted_indices``.
"""

# ruff: noqa: ARG001 -- fakes have the parameters of their operators
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, library

from seqkit.kernels import autograd
from seqkit.kernels.cells import (
    LEARNED,
    SLOTS,
    STATES,
    Extras,
    Layer,
    Mode,
    Sweeps,
    is_projected,
    shape,
    zeros,
)
from seqkit.kernels.dispatch import SWEEPS, Backend, choose
from seqkit.packed import PackedLayout


def layer(
    mode: Mode,
    data: Tensor,
    layout: PackedLayout,
    state: Sequence[Tensor] | None,
    weights: Sequence[Tensor],
    extras: Extras,
    backend: Backend | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one layer; arguments and results as in `seqkit.kernels.layer`."""
    present = {name: e for name, e in zip(Extras._fields, extras, strict=True) if e is not None}
    found = recurrent_layer(
        data,
        layout.batch_sizes,
        list(state or []),
        list(weights),
        list(present.values()),
        mode,
        ",".join(present),
        backend,
    )
    return found[0], tuple(found[1 : 1 + STATES[mode]])


# Schemas are given in full, because torch before 2.9 cannot infer them from `collections.abc.Sequence`.
@library.custom_op(
    "seqkit::recurrent_layer",
    mutates_args=(),
    schema="(Tensor data, Tensor batch_sizes, Tensor[] state, Tensor[] weights, Tensor[] extras, str mode, "
    "str names, str? backend) -> Tensor[]",
)
def recurrent_layer(
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    extras: Sequence[Tensor],
    mode: str,
    names: str,
    backend: str | None,
) -> list[Tensor]:
    """Return the output, the final states, and the results that the backward needs.

    An empty ``state`` means zeros. ``names`` are the names of the ``extras``, separated by commas.
    """
    called = _layer(batch_sizes, state, weights, extras, mode, names)
    called.layout.check(len(data))
    expected = [tuple(s.shape) for s in zeros(called.mode, called.layout, weights)]
    if (given := [tuple(s.shape) for s in called.state]) != expected:
        raise RuntimeError(f"Expected hidden states of sizes {expected} for each layer, got {given}")
    output, final, saved = _sweeps(backend, called).forward(called, data, keep=True)
    return [output, *final, *saved]


@recurrent_layer.register_fake
def _(
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    extras: Sequence[Tensor],
    mode: str,
    names: str,
    backend: str | None,
) -> list[Tensor]:
    kind, more = cast(Mode, mode), _extras(extras, names)
    directions, units, size = shape(kind, weights)
    tokens, height = data.size(0), weights[0].size(0)
    sequences = state[0].size(1) if state else library.get_ctx().new_dynamic_size()
    shapes: list[tuple[int | torch.SymInt, ...]] = [(tokens, directions * size)]
    shapes += [(directions, sequences, width) for width in (size, units)[: STATES[kind]]]
    if more.input_gain is not None:
        shapes += [(directions, tokens, width) for width in (height, 1, 1)]
    shapes += [(directions, tokens, SLOTS[kind] * units)]
    if kind == "LSTM":
        shapes += [(directions, tokens, units)]
    if more.hidden_gain is not None:
        shapes += [(directions, tokens, width) for width in (height, 1)]
    return [data.new_empty(s) for s in shapes]


@library.custom_op(
    "seqkit::recurrent_layer_backward",
    mutates_args=(),
    schema="(Tensor[] gradients, Tensor data, Tensor batch_sizes, Tensor[] state, Tensor[] weights, "
    "Tensor[] extras, Tensor output, Tensor[] saved, str mode, str names, str? backend) -> Tensor[]",
)
def recurrent_layer_backward(
    gradients: Sequence[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    extras: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    mode: str,
    names: str,
    backend: str | None,
) -> list[Tensor]:
    """Return the gradients of data, states, weights and the learned extras."""
    called = _layer(batch_sizes, state, weights, extras, mode, names)
    found = autograd.backward(
        _sweeps(backend, called),
        called,
        data,
        output,
        [s.clone() for s in saved],  # the sweeps may overwrite these, an operator must not
        gradients,
        of_data=True,
        of_weights=True,
    )
    return [gradient for gradient in found if gradient is not None]


@recurrent_layer_backward.register_fake
def _(
    gradients: Sequence[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    extras: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    mode: str,
    names: str,
    backend: str | None,
) -> list[Tensor]:
    learned = [e for e, name in zip(extras, names.split(","), strict=False) if name in LEARNED]
    return [
        torch.empty_like(t, memory_format=torch.contiguous_format)
        for t in (data, *gradients[1:], *weights, *learned)
    ]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    data, batch_sizes, state, weights, extras, ctx.mode, ctx.names, ctx.backend = inputs
    final = 1 + STATES[ctx.mode]
    ctx.counts = len(state), len(weights), len(extras)
    ctx.shapes = [o.shape for o in output[:final]]
    ctx.save_for_backward(data, batch_sizes, output[0], *state, *weights, *extras, *output[final:])


def _differentiate(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    data, batch_sizes, output, *rest = ctx.saved_tensors
    state, weights, extras = (_take(rest, count) for count in ctx.counts)
    above = [
        data.new_zeros(shape) if gradient is None else gradient
        for gradient, shape in zip(gradients, ctx.shapes, strict=False)
    ]
    of_data, *found = recurrent_layer_backward(
        above, data, batch_sizes, state, weights, extras, output, rest, ctx.mode, ctx.names, ctx.backend
    )
    of_state = _take(found, STATES[ctx.mode])
    of_weights = _take(found, len(weights))
    of_extras = [found.pop(0) if name in LEARNED else None for name in ctx.names.split(",") if name]
    return of_data, None, of_state if state else [], of_weights, of_extras, None, None, None


recurrent_layer.register_autograd(_differentiate, setup_context=_keep)


def _take(tensors: list[Tensor], count: int) -> list[Tensor]:
    """Remove the first ``count`` tensors and return them."""
    taken, tensors[:] = tensors[:count], tensors[count:]
    return taken


def _extras(extras: Sequence[Tensor], names: str) -> Extras:
    return Extras(**dict(zip(names.split(","), extras, strict=True))) if names else Extras()


def _layer(
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    extras: Sequence[Tensor],
    mode: str,
    names: str,
) -> Layer:
    kind, layout = cast(Mode, mode), PackedLayout(batch_sizes)
    return Layer(kind, layout, state or zeros(kind, layout, weights), weights, _extras(extras, names))


def _sweeps(backend: str | None, layer: Layer) -> Sweeps:
    first, projected = layer.weights[0], is_projected(layer.mode, layer.weights)
    return SWEEPS[choose(first.device, first.dtype, projected=projected, forced=cast(Backend | None, backend))]
