"""One recurrent layer with its backward in closed form, around one implementation's sweeps over the steps.

The sweeps do only what must go step by step. The input projection and each weight gradient are one large
product over all tokens, left to torch; between forward and backward only gates and cell states are kept.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from seqkit.kernels import reference
from seqkit.kernels.layout import Mode, Steps, Weights, by_direction


class Sweeps(Protocol):
    """The two functions of an implementation; `seqkit.kernels.closed_form` documents them."""

    def forward(
        self,
        mode: Mode,
        gates: Tensor,
        steps: Steps,
        state: Sequence[Tensor],
        hidden_weights: Sequence[Tensor],
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """All steps in their order."""

    def backward(
        self,
        mode: Mode,
        gradient: Tensor,
        final_gradients: Sequence[Tensor],
        output: Tensor,
        saved: Sequence[Tensor],
        steps: Steps,
        state: Sequence[Tensor],
        hidden_weights: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """All steps in the opposite order."""


class LayerFunction(torch.autograd.Function):
    """(data, states, weights) -> (output, final states). Second derivatives go through the plain loop."""

    @staticmethod
    def forward(
        ctx: Any, sweeps: Sweeps, mode: Mode, steps: Steps, states: int, data: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """`tensors` are the states, then the flat weights."""
        output, final, saved = forward(sweeps, mode, steps, data, tensors[:states], tensors[states:])
        ctx.sweeps, ctx.mode, ctx.steps, ctx.states = sweeps, mode, steps, states
        ctx.save_for_backward(data, *tensors, output, *saved)
        ctx.saved_extra = 1 + len(saved)
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of data, states and weights."""
        data, *rest = ctx.saved_tensors
        tensors, (output, *saved) = rest[: -ctx.saved_extra], rest[-ctx.saved_extra :]
        state, flat = tensors[: ctx.states], tensors[ctx.states :]
        needed = ctx.needs_input_grad[4:]
        if torch.is_grad_enabled():  # create_graph=True
            return (None,) * 4 + _differentiable(
                ctx.mode, ctx.steps, data, state, flat, [g.clone() for g in gradients], needed
            )
        return (None,) * 4 + backward(
            ctx.sweeps,
            ctx.mode,
            ctx.steps,
            data,
            state,
            flat,
            output,
            saved,
            gradients,
            of_data=needed[0],
            of_weights=any(needed[1 + ctx.states :]),
        )


def forward(
    sweeps: Sweeps, mode: Mode, steps: Steps, data: Tensor, state: Sequence[Tensor], flat: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Projects the inputs of all tokens, then sweeps.

    Returns:
        The output (N, D·P), the final states (D, B, ·), and what `backward` needs besides.
    """
    weights = by_direction(flat)
    gates = _project(mode, data, weights)
    return sweeps.forward(mode, gates, steps, state, [w.hidden for w in weights])


def backward(
    sweeps: Sweeps,
    mode: Mode,
    steps: Steps,
    data: Tensor,
    state: Sequence[Tensor],
    flat: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    *,
    of_data: bool,
    of_weights: bool,
) -> tuple[Tensor | None, ...]:
    """Sweeps back, then takes each weight gradient as one product.

    Returns:
        The gradients of data, states and weights; None for data or weights that need none.
    """
    weights = by_direction(flat)
    hidden_weights = [w.hidden for w in weights]
    slots, before, initial = sweeps.backward(
        mode, gradients[0], gradients[1:], output, saved, steps, state, hidden_weights
    )
    return (
        _data_gradient(mode, slots, weights) if of_data else None,
        *initial,
        *(
            gradient
            for d, w in enumerate(weights)
            for gradient in _weight_gradients(mode, slots[d], data, before[d], w, of_weights)
        ),
    )


def _blocks(mode: Mode, height: int) -> list[tuple[slice, slice]]:
    """Which slots the rows of an input weight (G·H, I) feed: pairs (columns of slots, weight rows)."""
    if mode != "GRU":
        return [(slice(0, height), slice(0, height))]
    width = height // 3  # slots r, z, q, n: q has the recurrent part of n and no input
    rz, n = slice(0, 2 * width), slice(2 * width, height)
    return [(rz, rz), (slice(height, height + width), n)]


def _project(mode: Mode, data: Tensor, weights: Sequence[Weights]) -> Tensor:
    """(D, N, S·H): inputs times input weights, plus all biases."""
    height = weights[0].input.size(0)
    blocks = _blocks(mode, height)
    gates = data.new_empty(len(weights), data.size(0), blocks[-1][0].stop)
    for g, w in zip(gates, weights, strict=True):
        bias = None
        if w.input_bias is not None and w.hidden_bias is not None:
            bias = w.input_bias + w.hidden_bias
            if mode == "GRU":
                bias[blocks[1][1]] = w.input_bias[blocks[1][1]]
        for columns, rows in blocks:
            if bias is None:
                torch.mm(data, w.input[rows].t(), out=g[:, columns])
            else:
                torch.addmm(bias[rows], data, w.input[rows].t(), out=g[:, columns])
        if mode == "GRU":
            recurrent_part = g[:, 2 * height // 3 : height]
            if w.hidden_bias is None:
                recurrent_part.zero_()
            else:
                recurrent_part.copy_(w.hidden_bias[blocks[1][1]])
    return gates


def _data_gradient(mode: Mode, slots: Tensor, weights: Sequence[Weights]) -> Tensor:
    """(N, I)."""
    terms = [
        (s[:, columns], w.input[rows])
        for s, w in zip(slots, weights, strict=True)
        for columns, rows in _blocks(mode, w.input.size(0))
    ]
    gradient = torch.mm(*terms[0])
    for term in terms[1:]:
        gradient.addmm_(*term)
    return gradient


def _weight_gradients(
    mode: Mode, slots: Tensor, data: Tensor, before: Tensor, weights: Weights, needed: bool
) -> list[Tensor | None]:
    """Of one direction, in the order of the flat weights."""
    if not needed:
        return [None for w in weights if w is not None]
    height = weights.input.size(0)
    of_input = torch.empty_like(weights.input)
    for columns, rows in _blocks(mode, height):
        torch.mm(slots[:, columns].t(), data, out=of_input[rows])
    gradients: list[Tensor | None] = [of_input, torch.mm(slots[:, :height].t(), before)]
    if weights.input_bias is not None:
        total = slots.sum(0)
        gradients.append(torch.cat([total[columns] for columns, _ in _blocks(mode, height)]))
        gradients.append(total[:height].clone())
    return gradients


def _differentiable(
    mode: Mode,
    steps: Steps,
    data: Tensor,
    state: Sequence[Tensor],
    flat: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """The gradients as functions of the inputs and of `gradients`, through the plain loop."""
    inputs = [t for t, n in zip((data, *state, *flat), needed, strict=True) if n]
    output, final = reference.layer(mode, data, steps, state, flat)
    found = iter(torch.autograd.grad((output, *final), inputs, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if n else None for n in needed)
