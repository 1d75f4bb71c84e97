"""The layer under `torch.vmap`: its copies run as more sequences of one batch, or one after the other.

Copies that share the weights are more sequences: sequence b of copy v becomes sequence b · V + v, for V copies, and
the tokens stay packed. Copies with weights of their own run one after the other. So does a backward that gives
weight gradients, because these are sums over all sequences.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seqkit.kernels.cells import LEARNED, STATES, Call, Extras
from seqkit.packed import PackedLayout

Axes = list[int | None]  # for each tensor the dimension of the sequences or tokens, plus one; None for a weight


def forward(
    function: Any, copies: int, dims: Sequence[int | None], call: Call, tensors: Sequence[Any]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Run `seqkit.kernels.autograd.TransformedLayer` on a batch.

    Args:
        function: The function.
        copies: V, the size of the batch.
        dims: For each tensor the dimension of the batch; None where all copies share the tensor.
        call: The other arguments.
        tensors: Data and `Layer.tensors`.

    Returns:
        The outputs, and for each of them the dimension of the batch.
    """
    axes = _axes(call, len(tensors))
    if not _share_weights(dims, axes):
        return _one_by_one(function, copies, dims, (call,), tensors)
    found = function.apply(_wider(call, copies), *_folded(copies, dims, axes, tensors))
    return _unfolded(found, [1, *[2] * (len(found) - 1)], copies)


def backward(
    function: Any,
    copies: int,
    dims: Sequence[int | None],
    call: Call,
    needed: Sequence[bool],
    tensors: Sequence[Any],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Run `seqkit.kernels.autograd.LayerBackward` on a batch; arguments and results as in `forward`.

    Args:
        function: The function.
        copies: V.
        dims: As in `forward`.
        call: Of the forward.
        needed: Which gradients are needed, of data and of `Layer.tensors`.
        tensors: The gradients of the outputs; data and `Layer.tensors`; the output and the saved tensors.
    """
    own = _axes(call, len(needed))
    start = call.num_outputs + len(needed) + 1  # of the saved tensors, which the sweep overwrites
    axes: Axes = [1, *[2] * (call.num_outputs - 1), *own, 1, *[2] * (len(tensors) - start)]
    if not _share_weights(dims, axes) or any(n and axis is None for n, axis in zip(needed, own, strict=True)):
        return _one_by_one(function, copies, dims, (call, needed), tensors, start)
    folded = _folded(copies, dims, axes, tensors)
    folded[start:] = [t.clone() for t in folded[start:]]
    found = function.apply(_wider(call, copies), needed, *folded)
    return _unfolded(found, [a for n, a in zip(needed, own, strict=True) if n and a is not None], copies)


def _axes(call: Call, count: int) -> Axes:
    """List the axes of data and of the ``Layer.tensors``, ``count`` in all."""
    states = STATES[call.mode]
    weights = count - 1 - states - len(Extras._fields)
    return [1, *[2] * states, *[None] * weights, *(None if name in LEARNED else 2 for name in Extras._fields)]


def _share_weights(dims: Sequence[int | None], axes: Axes) -> bool:
    return all(dim is None for dim, axis in zip(dims, axes, strict=True) if axis is None)


def _wider(call: Call, copies: int) -> Call:
    layout = call.layout
    return replace(call, layout=PackedLayout(layout.batch_sizes * copies, layout.num_tokens * copies))


def _folded(copies: int, dims: Sequence[int | None], axes: Axes, tensors: Sequence[Any]) -> list[Any]:
    """Make the copies of each token or sequence neighbours in one dimension."""
    folded = []
    for t, dim, axis in zip(tensors, dims, axes, strict=True):
        if t is not None and axis is not None:
            if dim is None:
                moved = t.unsqueeze(axis).expand(*t.shape[:axis], copies, *t.shape[axis:])
            else:
                moved = t.movedim(dim, axis)
            t = moved.flatten(axis - 1, axis)
        folded.append(t)
    return folded


def _unfolded(
    found: Sequence[Tensor], axes: Sequence[int], copies: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    apart = [
        f.reshape(*f.shape[: a - 1], f.size(a - 1) // copies, copies, *f.shape[a:])
        for f, a in zip(found, axes, strict=True)
    ]
    return tuple(apart), tuple(axes)


def _one_by_one(
    function: Any,
    copies: int,
    dims: Sequence[int | None],
    arguments: tuple[Any, ...],
    tensors: Sequence[Any],
    overwritten: int | None = None,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Apply the function to each copy; the tensors from number ``overwritten`` on are copied."""
    call, *others = arguments
    results = []
    for v in range(copies):
        own = [t if dim is None else t.select(dim, v) for t, dim in zip(tensors, dims, strict=True)]
        if overwritten is not None:
            own[overwritten:] = [t.clone() for t in own[overwritten:]]
        results.append(function.apply(replace(call), *others, *own))
    stacked = tuple(torch.stack(each) for each in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)
