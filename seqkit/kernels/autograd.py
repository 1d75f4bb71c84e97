"""One recurrent layer with its backward in closed form, around one implementation's sweeps over the steps.

The sweep back does only what must go step by step. The gradient of the input and each weight gradient are one large
product over all tokens, left to torch; between forward and backward only gates and cell states are kept.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from seqkit.kernels import reference
from seqkit.kernels.cells import Extras, Gradients, Mode, Weights, by_direction
from seqkit.kernels.projection import input_blocks, normalise_back
from seqkit.packed import PackedLayout


class Sweeps(Protocol):
    """The two functions of an implementation; `seqkit.kernels.closed_form` documents them."""

    def forward(
        self,
        mode: Mode,
        data: Tensor,
        layout: PackedLayout,
        state: Sequence[Tensor],
        weights: Sequence[Weights],
        extras: Extras,
        *,
        keep: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """All steps in their order."""

    def backward(
        self,
        mode: Mode,
        gradient: Tensor,
        final_gradients: Sequence[Tensor],
        output: Tensor,
        saved: Sequence[Tensor],
        layout: PackedLayout,
        state: Sequence[Tensor],
        weights: Sequence[Weights],
        extras: Extras,
    ) -> Gradients:
        """All steps in the opposite order."""


class LayerFunction(torch.autograd.Function):
    """(data, states, weights, extras) -> (output, final states). Second derivatives go through the plain loop."""

    @staticmethod
    def forward(
        ctx: Any,
        sweeps: Sweeps,
        mode: Mode,
        layout: PackedLayout,
        states: int,
        keep: bool,
        data: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """`tensors` are the states, the flat weights and the extras; `keep`: whether there may be a backward."""
        ctx.sweeps, ctx.mode, ctx.layout, ctx.states = sweeps, mode, layout, states
        state, flat, extras = _split(tensors, states)
        output, final, saved = sweeps.forward(mode, data, layout, state, by_direction(flat), extras, keep=keep)
        ctx.save_for_backward(data, *tensors, output, *saved)
        ctx.saved_extra = 1 + len(saved)
        ctx.overwritten = False
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of data, states, weights and extras."""
        data, *rest = ctx.saved_tensors
        tensors, (output, *saved) = rest[: -ctx.saved_extra], rest[-ctx.saved_extra :]
        state, flat, extras = _split(tensors, ctx.states)
        needed = ctx.needs_input_grad[5:]
        if torch.is_grad_enabled():  # create_graph=True
            return (None,) * 5 + _differentiable(
                ctx.mode, ctx.layout, data, state, flat, extras, [g.clone() for g in gradients], needed
            )
        if ctx.overwritten:  # retain_graph=True
            _, _, saved = ctx.sweeps.forward(
                ctx.mode, data, ctx.layout, state, by_direction(flat), extras, keep=True
            )
        ctx.overwritten = True
        return (None,) * 5 + backward(
            ctx.sweeps,
            ctx.mode,
            ctx.layout,
            data,
            state,
            flat,
            extras,
            output,
            saved,
            gradients,
            of_data=needed[0],
            of_weights=any(needed[1 + ctx.states :]),
        )


def backward(
    sweeps: Sweeps,
    mode: Mode,
    layout: PackedLayout,
    data: Tensor,
    state: Sequence[Tensor],
    flat: Sequence[Tensor],
    extras: Extras,
    output: Tensor,
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    *,
    of_data: bool,
    of_weights: bool,
) -> tuple[Tensor | None, ...]:
    """Sweeps back, then takes each weight gradient as one product; may overwrite `saved`.

    Returns:
        The gradients of data, states, weights and extras; None for those that need none.
    """
    weights = by_direction(flat)
    count = 0 if extras.input_gain is None else 3
    swept = sweeps.backward(
        mode, gradients[0], gradients[1:], output, saved[count:], layout, state, weights, extras
    )
    slots = swept.slots
    height = flat[0].size(0)
    of_products = [[(s[:, columns], rows) for columns, rows in input_blocks(mode, height)] for s in slots]
    input_gain = None
    if extras.input_gain is not None:
        # of_products is then one block: the gradient of the input product before its normalisation.
        of_products, input_gain = normalise_back(of_products, saved[:3], extras.input_gain)
    of_flat: list[Tensor | None] = []
    for d, w in enumerate(weights):
        if not of_weights:
            of_flat += [None for weight in w if weight is not None]
            continue
        of_input = torch.empty_like(w.input)
        for block, rows in of_products[d]:
            torch.mm(block.t(), data, out=of_input[rows])
        recurrent = slots[d, :, :height] if swept.products is None else swept.products[d]
        of_flat += [of_input, torch.mm(recurrent.t(), swept.before[d])]
        if w.input_bias is not None:
            total = slots[d].sum(0)
            of_flat += [
                torch.cat([total[columns] for columns, _ in input_blocks(mode, height)]),
                total[:height].clone(),
            ]
        if swept.projection is not None:
            of_flat.append(swept.projection[d])
    of_data_ = None
    if of_data:
        of_data_ = _sum_of_products(
            [(b, w.input[rows]) for p, w in zip(of_products, weights, strict=True) for b, rows in p]
        )
    of_extras = Extras(
        input_gain=input_gain,
        hidden_gain=swept.hidden_gain,
        cell_gain=swept.cell_gain,
        cell_bias=swept.cell_bias,
    )
    return of_data_, *swept.initial, *of_flat, *of_extras


def _split(tensors: Sequence[Tensor | None], states: int) -> tuple[list[Tensor], list[Tensor], Extras]:
    """States, flat weights, extras."""
    rest: list[Any] = list(tensors)
    end = len(rest) - len(Extras._fields)
    return rest[:states], rest[states:end], Extras(*rest[end:])


def _sum_of_products(terms: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    total = torch.mm(*terms[0])
    for term in terms[1:]:
        total.addmm_(*term)
    return total


def _differentiable(
    mode: Mode,
    layout: PackedLayout,
    data: Tensor,
    state: Sequence[Tensor],
    flat: Sequence[Tensor],
    extras: Extras,
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """The gradients as functions of the inputs and of `gradients`, through the plain loop."""
    inputs = [t for t, n in zip((data, *state, *flat, *extras), needed, strict=True) if n and t is not None]
    output, final = reference.layer(mode, data, layout, state, flat, extras)
    found = iter(torch.autograd.grad((output, *final), inputs, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if n else None for n in needed)
