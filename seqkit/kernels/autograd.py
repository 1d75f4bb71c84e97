"""One recurrent layer with its backward in closed form, around the sweeps of one implementation.

The backward sweep does only the work that must go step by step. The gradient of the input and each weight gradient
are one large product over all tokens, computed by torch. Between forward and backward only gates and cell states
are kept.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seqkit.kernels import batched, reference
from seqkit.kernels.cells import Call, Extras, Layer, Sweeps
from seqkit.kernels.projection import input_blocks, normalise_back
from seqkit.upstream.torch import batched_backward, transforms_active


class LayerFunction(torch.autograd.Function):
    """(data, states, weights, extras) -> (output, final states). Second derivatives use the plain loop.

    The form that `torch.func` asks for takes more time per call, so `TransformedLayer` has that.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, data: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run the forward sweep; ``tensors`` are `Layer.tensors`."""
        output, final, saved = call.sweeps.forward(call.layer(tensors), data, keep=call.keep)
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(data, *tensors, output, *saved)
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Compute the gradients of data, states, weights and extras."""
        call, needed = ctx.call, ctx.needs_input_grad[1:]
        kept = ctx.saved_tensors  # read once: each access unpacks all tensors
        output = kept[len(needed)]
        above = [
            torch.zeros_like(t) if g is None else g
            for g, t in zip(gradients, (output, *kept[1 : call.num_outputs]), strict=False)
        ]
        if not transforms_active(output, *above):
            if torch.is_grad_enabled():  # create_graph=True
                return None, *_differentiable(call, needed, above, kept)
            return None, *_run_backward(call, needed, above, kept)

        def run(*above: Tensor) -> tuple[Tensor, ...]:
            return LayerBackward.apply(call, needed, *above, *kept)  # type: ignore[no-any-return, no-untyped-call]

        found = iter(batched_backward(run, above))
        return None, *(next(found) if n else None for n in needed)


class TransformedLayer(torch.autograd.Function):
    """The same under a transform of `torch.func`; also returns the saved tensors, last."""

    @staticmethod
    def forward(call: Call, data: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run the forward sweep; see `LayerFunction`."""
        output, final, saved = call.sweeps.forward(call.layer(tensors), data, keep=True)
        return output, *final, *saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the backward sweep needs."""
        ctx.call, *tensors = inputs
        saved = output[ctx.call.num_outputs :]
        ctx.mark_non_differentiable(*saved)
        ctx.set_materialize_grads(False)  # it would create gradients of the saved tensors
        ctx.save_for_backward(*tensors, output[0], *saved)

    backward = LayerFunction.backward

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, *tensors: Tensor | None) -> tuple[Any, Any]:
        """Run the layer on a batch of inputs."""
        return batched.forward(TransformedLayer, info.batch_size, in_dims[1:], call, tensors)


class LayerBackward(torch.autograd.Function):
    """(gradients, data, states, weights, extras, output, saved tensors) -> the gradients that are needed."""

    @staticmethod
    def forward(call: Call, needed: Sequence[bool], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Compute the gradients; ``needed`` says which of data, states, weights and extras need one."""
        found = _run_backward(call, needed, tensors[: call.num_outputs], tensors[call.num_outputs :])
        return tuple(g for g, n in zip(found, needed, strict=True) if n and g is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG004
        """Keep the arguments of the plain loop."""
        ctx.call, ctx.needed, *tensors = inputs
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors[: ctx.call.num_outputs + len(ctx.needed)])

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        """Compute second derivatives through the plain loop."""
        call, needed, tensors = ctx.call, ctx.needed, ctx.saved_tensors
        wanted = ctx.needs_input_grad[2 : 2 + len(tensors)]

        def first(*chosen: Tensor) -> tuple[Tensor, ...]:
            arguments = _replaced(tensors, wanted, chosen)
            gradients, inputs = arguments[: call.num_outputs], arguments[call.num_outputs :]

            def plain(*own: Tensor) -> tuple[Tensor, ...]:
                data, *rest = _replaced(inputs, needed, own)
                output, final = reference.layer(call.layer(rest), data)
                return output, *final

            return _pull(plain, itertools.compress(inputs, needed), gradients)

        def run(*above: Tensor) -> tuple[Tensor, ...]:
            return _pull(first, itertools.compress(tensors, wanted), above)

        found = iter(batched_backward(run, above))
        second = [next(found) if w else None for w in wanted]
        return None, None, *second, *[None] * (ctx.count - len(second))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], call: Call, needed: Sequence[bool], *tensors: Tensor | None
    ) -> tuple[Any, Any]:
        """Run the backward sweep on a batch of gradients or inputs."""
        return batched.backward(LayerBackward, info.batch_size, in_dims[2:], call, needed, tensors)


def _run_backward(
    call: Call, needed: Sequence[bool], gradients: Sequence[Any], kept: Sequence[Any]
) -> tuple[Tensor | None, ...]:
    """Compute the gradients of data and of `Layer.tensors` from those, the output and the saved tensors."""
    data, output, saved = kept[0], kept[len(needed)], kept[len(needed) + 1 :]
    layer = call.layer(kept[1 : len(needed)])
    if call.overwritten:  # retain_graph=True
        _, _, saved = call.sweeps.forward(layer, data, keep=True)
    call.overwritten = True
    of_weights = any(needed[call.num_outputs :])
    return backward(call.sweeps, layer, data, output, saved, gradients, of_data=needed[0], of_weights=of_weights)


def _differentiable(
    call: Call, needed: Sequence[bool], gradients: Sequence[Tensor], kept: Sequence[Any]
) -> tuple[Tensor | None, ...]:
    """Compute the gradients as functions of the inputs and of ``gradients``, through the plain loop.

    Does the same as `LayerBackward`, in half the time, but autograd only.
    """
    # Views, because one input may depend on another: its gradient must not contain the other's.
    data, *tensors = (t.view_as(t) if n else t for t, n in zip(kept, needed, strict=False))
    output, final = reference.layer(call.layer(tensors), data)
    inputs = list(itertools.compress((data, *tensors), needed))
    found = iter(torch.autograd.grad((output, *final), inputs, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if n else None for n in needed)


def _pull(
    function: Callable[..., tuple[Tensor, ...]], tensors: Iterable[Tensor], gradients: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Compute the gradients of the arguments of a function from those of its results."""
    pull = torch.func.vjp(function, *tensors)[1]
    return cast(tuple[Tensor, ...], pull(tuple(gradients)))


def _replaced(tensors: Sequence[Any], chosen: Sequence[bool], others: Sequence[Any]) -> list[Any]:
    """Replace the chosen tensors by others."""
    following = iter(others)
    return [next(following) if c else t for t, c in zip(tensors, chosen, strict=True)]


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
