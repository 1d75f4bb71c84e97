"""The plain loop over time steps under autograd: slow, twice differentiable, and what the tests compare with."""

import torch
from torch import Tensor
from torch.nn import functional as F

from seqkit.kernels.cells import EPSILON, Extras, Layer, Mode, Weights


def layer(layer: Layer, data: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one layer on data (N, I); returns the output (N, D·P) and the final states (D, B, ·)."""
    sizes = layer.layout.sizes or [0]  # an empty step keeps the graph of a batch without tokens
    outputs, finals = [], []
    for d, direction in enumerate(layer.directions):
        own = Extras(*(None if e is None else e[d] for e in layer.extras))
        projected = normalised(F.linear(data, direction.input), own.input_gain)
        if direction.input_bias is not None:
            projected = projected + direction.input_bias
        inputs = torch.split(projected, sizes)
        keep_hidden = [None] * len(sizes) if own.keep_hidden is None else torch.split(own.keep_hidden, sizes)
        keep_cell = [None] * len(sizes) if own.keep_cell is None else torch.split(own.keep_cell, sizes)
        hidden = tuple(s[d] for s in layer.state)  # (B, P) and, of an LSTM, (B, H)
        output = list(inputs)
        for t in range(len(sizes)) if d == 0 else reversed(range(len(sizes))):
            size = sizes[t]  # the first ones are the sequences that reach this step
            here = own._replace(
                hidden_mask=None if own.hidden_mask is None else own.hidden_mask[:size],
                keep_hidden=keep_hidden[t],
                keep_cell=keep_cell[t],
            )
            new = cell(layer.mode, inputs[t], tuple(h[:size] for h in hidden), direction, here)
            hidden = tuple(torch.cat([n, h[size:]]) for n, h in zip(new, hidden, strict=True))
            output[t] = new[0]
        outputs.append(torch.cat(output))
        finals.append(hidden)
    return torch.cat(outputs, dim=1), tuple(torch.stack(f) for f in zip(*finals, strict=True))


def cell(
    mode: Mode, projected: Tensor, state: tuple[Tensor, ...], weights: Weights, extras: Extras
) -> tuple[Tensor, ...]:
    """Run one time step of b sequences, as `torch.nn.LSTMCell`: projected inputs (b, G·H), states -> states.

    The extras are those of one direction and of this step: ``hidden_mask`` and ``keep_hidden`` (b, P),
    ``keep_cell`` (b, H), the rest vectors.
    """
    hidden = state[0]
    fed = hidden if extras.hidden_mask is None else hidden * extras.hidden_mask
    recurrent = normalised(F.linear(fed, weights.hidden), extras.hidden_gain)
    if weights.hidden_bias is not None:
        recurrent = recurrent + weights.hidden_bias
    if mode == "LSTM":
        i, f, g, o = (projected + recurrent).chunk(4, dim=1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * normalised(c, extras.cell_gain, extras.cell_bias).tanh()
        if weights.projection is not None:
            h = F.linear(h, weights.projection)
        return kept(h, hidden, extras.keep_hidden), kept(c, state[1], extras.keep_cell)
    if mode == "GRU":
        (r, z, n), (hr, hz, hn) = projected.chunk(3, dim=1), recurrent.chunk(3, dim=1)
        n = (n + (r + hr).sigmoid() * hn).tanh()
        h = n + (z + hz).sigmoid() * (hidden - n)
    else:
        total = projected + recurrent
        h = total.tanh() if mode == "RNN_TANH" else total.relu()
    return (kept(h, hidden, extras.keep_hidden),)


def normalised(values: Tensor, gain: Tensor | None, bias: Tensor | None = None) -> Tensor:
    """Apply layer normalisation over the last dimension, if there is a gain."""
    return values if gain is None else F.layer_norm(values, values.shape[-1:], gain, bias, EPSILON)


def kept(new: Tensor, before: Tensor, share: Tensor | None) -> Tensor:
    """Apply zoneout: keep ``share`` of each unit's previous value."""
    return new if share is None else share * before + (1 - share) * new
