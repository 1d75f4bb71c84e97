"""One recurrent layer as operators of torch, so that `torch.compile` keeps it in its graph.

Eager code calls `seqkit.kernels.layer_function` directly: an operator written in Python costs more per call.
"""

# ruff: noqa: ARG001 -- fakes take all that their operators take
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seqkit.kernels import layer_function
from seqkit.kernels.choice import SWEEPS, Backend, choose
from seqkit.kernels.layout import SLOTS, STATES, Mode, Steps, shape, zeros


def layer(
    mode: Mode,
    data: Tensor,
    steps: Steps,
    state: Sequence[Tensor] | None,
    weights: Sequence[Tensor],
    backend: Backend | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer; arguments and returns are those of `seqkit.kernels.layer`."""
    found = recurrent_layer(data, steps.batch_sizes, state or [], weights, mode, backend)
    return found[0], tuple(found[1 : 1 + STATES[mode]])


@torch.library.custom_op("seqkit::recurrent_layer", mutates_args=())
def recurrent_layer(
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    mode: str,
    backend: str | None,
) -> list[Tensor]:
    """The output, the final states, and what the backward needs besides; `state` may be empty, for zeros."""
    kind, steps = cast(Mode, mode), Steps(batch_sizes)
    start = zeros(kind, steps, weights)
    if state and [s.shape for s in state] != [s.shape for s in start]:
        raise RuntimeError(
            f"Expected hidden states of sizes {[tuple(s.shape) for s in start]} for each layer, "
            f"got {[tuple(s.shape) for s in state]}"
        )
    output, final, saved = layer_function.forward(
        _sweeps(backend, data), kind, steps, data, state or start, weights
    )
    return [output, *final, *saved]


@recurrent_layer.register_fake
def _(
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    mode: str,
    backend: str | None,
) -> list[Tensor]:
    kind = cast(Mode, mode)
    directions, units, size = shape(kind, weights)
    sequences = state[0].size(1) if state else torch.library.get_ctx().new_dynamic_size()
    output = data.new_empty(data.size(0), directions * size)
    final = [data.new_empty(directions, sequences, width) for width in (size, units)[: STATES[kind]]]
    saved = [data.new_empty(directions, data.size(0), SLOTS[kind] * units)]
    if kind == "LSTM":
        saved.append(data.new_empty(directions, data.size(0), units))
    return [output, *final, *saved]


@torch.library.custom_op("seqkit::recurrent_layer_backward", mutates_args=())
def recurrent_layer_backward(
    gradients: Sequence[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    mode: str,
    backend: str | None,
) -> list[Tensor]:
    """The gradients of data, states and weights."""
    kind, steps = cast(Mode, mode), Steps(batch_sizes)
    found = layer_function.backward(
        _sweeps(backend, data),
        kind,
        steps,
        data,
        state or zeros(kind, steps, weights),
        weights,
        output,
        saved,
        gradients,
        of_data=True,
        of_weights=True,
    )
    return [cast(Tensor, gradient) for gradient in found]


@recurrent_layer_backward.register_fake
def _(
    gradients: Sequence[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    mode: str,
    backend: str | None,
) -> list[Tensor]:
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (data, *gradients[1:], *weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    data, batch_sizes, state, weights, ctx.mode, ctx.backend = inputs
    final = 1 + STATES[ctx.mode]
    ctx.counts = len(state), len(weights)
    ctx.shapes = [o.shape for o in output[:final]]
    ctx.save_for_backward(data, batch_sizes, output[0], *state, *weights, *output[final:])


def _differentiate(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    data, batch_sizes, output, *rest = ctx.saved_tensors
    states, count = ctx.counts
    state, weights, saved = rest[:states], rest[states : states + count], rest[states + count :]
    above = [
        data.new_zeros(shape) if gradient is None else gradient
        for gradient, shape in zip(gradients, ctx.shapes, strict=False)
    ]
    of_data, *others = recurrent_layer_backward(
        above, data, batch_sizes, state, weights, output, saved, ctx.mode, ctx.backend
    )
    of_state = others[: len(others) - count]
    return of_data, None, of_state if states else [], others[len(others) - count :], None, None


recurrent_layer.register_autograd(_differentiate, setup_context=_keep)


def _sweeps(backend: str | None, data: Tensor) -> layer_function.Sweeps:
    return SWEEPS[choose(data.device, data.dtype, forced=cast(Backend | None, backend))]
