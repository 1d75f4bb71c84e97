"""The sweeps over the time steps in compiled code (`csrc/rnn.cpp`), for float32 on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.cells import GATES, SLOTS, Extras, Gradients, Layer
from seqkit.kernels.compiled import load_library
from seqkit.kernels.projection import project


def forward(layer: Layer, data: Tensor, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run all time steps; see `seqkit.kernels.closed_form.forward`."""
    mode, state, weights, extras = layer.mode, layer.state, layer.directions, layer.extras
    directions, batch, units = state[0].shape
    tokens = layer.layout.num_tokens
    final = tuple(s.clone(memory_format=torch.contiguous_format) for s in state)
    output = data.new_empty(tokens, directions * units)
    gates, cells, normal = None, None, []
    products: tuple[Tensor, ...] = ()
    if extras.input_gain is not None:  # torch normalises; the library gets the gates instead of the data
        gates, products = project(layer, data)
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
    _call("forward", layer, arguments)
    saved = (*products, gates, cells, *normal) if keep else ()
    return output, final, tuple(t for t in saved if t is not None)


def backward(layer: Layer, output: Tensor, saved: Sequence[Tensor], gradients: Sequence[Tensor]) -> Gradients:
    """Run all time steps backwards; overwrites the saved gates. See `seqkit.kernels.closed_form.backward`."""
    mode, state, weights, extras = layer.mode, layer.state, layer.directions, layer.extras
    gradient, *final_gradients = gradients
    directions, batch, units = state[0].shape
    tokens = layer.layout.num_tokens
    slots = saved[0]  # each token's gates are read once, then replaced by their gradient
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
    _call("backward", layer, arguments)
    found = Gradients(slots, before, initial)
    if products is not None:
        of_gain = torch.einsum("dng,dng->dg", slots[:, :, : products.size(2)], normal[0])
        found = found._replace(products=products, hidden_gain=of_gain)
    for cell, of_cell in cell_normal:
        found = found._replace(cell_gain=(of_cell * cell).sum(1), cell_bias=of_cell.sum(1))
    return found


def _pair(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Fill up to two entries with None."""
    return [*tensors, None, None][:2]


def _of_extras(extras: Extras, batch: int) -> list[Tensor | None]:
    """Select the extras that the library reads: all but the gain of the input product."""
    mask = None if extras.hidden_mask is None else extras.hidden_mask[:, :batch]
    return [mask, extras.keep_hidden, extras.keep_cell, extras.hidden_gain, extras.cell_gain, extras.cell_bias]


def _call(name: str, layer: Layer, arguments: Sequence[Tensor | int | None]) -> None:
    """Call the library; the tensors that it writes to are contiguous."""
    directions, batch, units = layer.state[0].shape
    dense = [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]  # keeps them alive during the call
    getattr(load_library("sweeps"), f"seqkit_rnn_{name}")(
        list(GATES).index(layer.mode),
        len(layer.layout.sizes),
        batch,
        units,
        directions,
        layer.layout.batch_sizes.data_ptr(),
        torch.get_num_threads(),
        *(a.data_ptr() if isinstance(a, Tensor) else a for a in dense),
    )
