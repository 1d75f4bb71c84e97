"""The sweeps over the time steps in compiled code (`csrc/rnn.cpp`), for float32 on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.cells import GATES, PLAIN, SLOTS, Extras, Gradients, Mode, Weights
from seqkit.kernels.library import load_library
from seqkit.kernels.projection import project
from seqkit.packed import PackedLayout


def forward(
    mode: Mode,
    data: Tensor,
    layout: PackedLayout,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,
    *,
    keep: bool,
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Runs all steps; see `seqkit.kernels.closed_form.forward`."""
    directions, batch, units = state[0].shape
    tokens = layout.num_tokens
    final = tuple(s.clone(memory_format=torch.contiguous_format) for s in state)
    output = data.new_empty(tokens, directions * units)
    gates, cells, normal = None, None, []
    products: tuple[Tensor, ...] = ()
    if extras.input_gain is not None:  # torch normalises, and the library gets the gates instead of the data
        gates, products = project(mode, data, weights, extras.input_gain)
    elif keep:
        gates = data.new_empty(directions, tokens, SLOTS[mode] * units)
    if keep and mode == "LSTM":
        cells = data.new_empty(directions, tokens, units)
    if keep and extras.hidden_gain is not None:
        normal = [data.new_empty(directions, tokens, n) for n in (extras.hidden_gain.size(1), 1)]
    arguments = [
        data.size(1),
        data if extras.input_gain is None else None,
        *_pair([w.input for w in weights]),
        *_pair([w.hidden for w in weights]),
        *_pair([w.input_bias for w in weights]),
        *_pair([w.hidden_bias for w in weights]),
        gates,
        *_pair(state),
        output,
        cells,
        *_pair(final),
        *_of_extras(extras, batch),
        *_pair(normal),
    ]
    _call("forward", mode, layout, state[0], arguments)
    saved = (*products, gates, cells, *normal) if keep else ()
    return output, final, tuple(t for t in saved if t is not None)


def backward(
    mode: Mode,
    gradient: Tensor,
    final_gradients: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    layout: PackedLayout,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,
) -> Gradients:
    """Runs all steps backwards and overwrites the gates; see `seqkit.kernels.closed_form.backward`."""
    directions, batch, units = state[0].shape
    tokens = layout.num_tokens
    slots = saved[0]  # each token's gates are read once, and then give way to their gradient
    before = output.new_empty(directions, tokens, units)
    initial = tuple(g.clone(memory_format=torch.contiguous_format) for g in final_gradients)
    normal = [] if extras.hidden_gain is None else saved[-2:]
    products = None if extras.hidden_gain is None else torch.empty_like(saved[-2])
    cell_normal = [] if extras.cell_gain is None else [output.new_empty(2, directions, tokens, units).unbind()]
    arguments = [
        *_pair([w.hidden for w in weights]),
        slots,
        saved[1] if mode == "LSTM" else None,
        output,
        *_pair(state),
        gradient,
        *_pair(final_gradients),
        slots,
        before,
        *_pair(initial),
        *_of_extras(extras, batch),
        *_pair(normal),
        products,
        *_pair([t for pair in cell_normal for t in pair]),
    ]
    _call("backward", mode, layout, state[0], arguments)
    found = Gradients(slots, before, initial)
    if products is not None:
        of_gain = torch.einsum("dng,dng->dg", slots[:, :, : products.size(2)], normal[0])
        found = found._replace(products=products, hidden_gain=of_gain)
    for cell, of_cell in cell_normal:
        found = found._replace(cell_gain=(of_cell * cell).sum(1), cell_bias=of_cell.sum(1))
    return found


def _pair(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Two tensors, or one and nothing, or nothing twice."""
    return [*tensors, None, None][:2]


def _of_extras(extras: Extras, batch: int) -> list[Tensor | None]:
    """What the library reads of them; the gain of the input product is none of its business."""
    mask = None if extras.hidden_mask is None else extras.hidden_mask[:, :batch]
    return [mask, extras.keep_hidden, extras.keep_cell, extras.hidden_gain, extras.cell_gain, extras.cell_bias]


def _call(
    name: str, mode: Mode, layout: PackedLayout, state: Tensor, arguments: Sequence[Tensor | int | None]
) -> None:
    """Calls the library; what it writes to is contiguous."""
    directions, batch, units = state.shape
    dense = [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]  # holds them until the call is over
    function = getattr(load_library("sweeps"), f"seqkit_rnn_{name}")
    function(
        list(GATES).index(mode),
        len(layout.sizes),
        batch,
        units,
        directions,
        layout.batch_sizes.data_ptr(),
        torch.get_num_threads(),
        *(a.data_ptr() if isinstance(a, Tensor) else a for a in dense),
    )
