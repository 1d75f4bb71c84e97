"""One recurrent layer with its backward in closed form, around the sweeps of one implementation.

The backward sweep does only the work that must go step by step. The gradient of the input and each weight gradient
are one large product over all tokens, computed by torch. Between forward and backward only gates and cell states
are kept.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from seqkit.kernels import reference
from seqkit.kernels.cells import Extras, Gradients, Layer, Mode
from seqkit.kernels.projection import input_blocks, normalise_back
from seqkit.packed import PackedLayout


class Sweeps(Protocol):
    """The two functions of an implementation, documented in `seqkit.kernels.closed_form`."""

    def forward(
        self, layer: Layer, data: Tensor, *, keep: bool
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Run all time steps in their order."""

    def backward(
        self, layer: Layer, output: Tensor, saved: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> Gradients:
        """Run all time steps in the opposite order."""


class LayerFunction(torch.autograd.Function):
    """(data, states, weights, extras) -> (output, final states). Second derivatives use the plain loop."""

    @staticmethod
    def forward(
        ctx: Any,
        sweeps: Sweeps,
        mode: Mode,
        layout: PackedLayout,
        keep: bool,
        data: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Run the forward sweep; ``tensors`` are `Layer.tensors`, ``keep`` says whether backward may follow."""
        layer = Layer.from_tensors(mode, layout, tensors)
        output, final, saved = sweeps.forward(layer, data, keep=keep)
        ctx.sweeps, ctx.mode, ctx.layout = sweeps, mode, layout
        ctx.save_for_backward(data, *tensors, output, *saved)
        ctx.num_inputs = 1 + len(tensors)
        ctx.overwritten = False
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of data, states, weights and extras."""
        kept = ctx.saved_tensors  # read once: each access unpacks all tensors
        (data, *tensors), (output, *saved) = kept[: ctx.num_inputs], kept[ctx.num_inputs :]
        layer = Layer.from_tensors(ctx.mode, ctx.layout, tensors)
        no_gradients = (None,) * 4  # for the arguments that are no tensors
        needed = ctx.needs_input_grad[4:]
        if torch.is_grad_enabled():  # create_graph=True
            return no_gradients + _differentiable(layer, data, [g.clone() for g in gradients], needed)
        if ctx.overwritten:  # retain_graph=True
            _, _, saved = ctx.sweeps.forward(layer, data, keep=True)
        ctx.overwritten = True
        of_weights = any(needed[1 + len(layer.state) :])
        return no_gradients + backward(
            ctx.sweeps, layer, data, output, saved, gradients, of_data=needed[0], of_weights=of_weights
        )


def backward(
    sweeps: Sweeps,
    layer: Layer,
    data: Tensor,
    output: Tensor,
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    *,
    of_data: bool,
    of_weights: bool,
) -> tuple[Tensor | None, ...]:
    """Run the backward sweep, then compute each weight gradient as one product.

    Args:
        sweeps: The implementation.
        layer: As in the forward sweep.
        data: (N, I) the input.
        output: The result of the forward sweep.
        saved: The rest of that result; may be overwritten.
        gradients: Of the output and of the final states.
        of_data: Whether the input needs a gradient.
        of_weights: Whether the weights or extras need one.

    Returns:
        The gradients of data and of `Layer.tensors`; None for those that need none.
    """
    mode, extras = layer.mode, layer.extras
    count = 0 if extras.input_gain is None else 3
    swept = sweeps.backward(layer, output, saved[count:], gradients)
    slots = swept.slots
    height = layer.weights[0].size(0)
    of_products = [[(s[:, columns], rows) for columns, rows in input_blocks(mode, height)] for s in slots]
    input_gain = None
    if extras.input_gain is not None:
        # of_products is then one block: the gradient of the input product before its normalisation.
        of_products, input_gain = normalise_back(of_products, saved[:3], extras.input_gain)
    of_flat: list[Tensor | None] = []
    for d, w in enumerate(layer.directions):
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
    of_input_data = None
    if of_data:
        of_input_data = _sum_of_products(
            [(b, w.input[rows]) for p, w in zip(of_products, layer.directions, strict=True) for b, rows in p]
        )
    of_extras = Extras(
        input_gain=input_gain,
        hidden_gain=swept.hidden_gain,
        cell_gain=swept.cell_gain,
        cell_bias=swept.cell_bias,
    )
    return of_input_data, *swept.initial, *of_flat, *of_extras


def _sum_of_products(terms: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    total = torch.mm(*terms[0])
    for term in terms[1:]:
        total.addmm_(*term)
    return total


def _differentiable(
    layer: Layer, data: Tensor, gradients: Sequence[Tensor], needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Compute the gradients as functions of the inputs and of ``gradients``, through the plain loop."""
    inputs = [t for t, n in zip((data, *layer.tensors), needed, strict=True) if n and t is not None]
    output, final = reference.layer(layer, data)
    found = iter(torch.autograd.grad((output, *final), inputs, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if n else None for n in needed)
