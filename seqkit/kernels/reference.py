"""The plain loop, step by step under autograd: slow, twice differentiable, the truth in tests."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from seqkit.kernels.layout import Mode, Steps, Weights, by_direction


def layer(
    mode: Mode, data: Tensor, steps: Steps, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer; arguments and returns are those of `seqkit.kernels.layer`."""
    directions = by_direction(weights)
    sizes = steps.sizes or [0]  # an empty step keeps the graph of a batch without a token
    outputs, finals = [], []
    for d, direction in enumerate(directions):
        inputs = torch.split(F.linear(data, direction.input, direction.input_bias), sizes)
        hidden = tuple(s[d] for s in state)  # (B, P) and, of an LSTM, (B, H)
        output = list(inputs)
        for t in range(len(sizes)) if d == 0 else reversed(range(len(sizes))):
            size = sizes[t]  # the sequences that run at this step are the first ones
            new = cell(mode, inputs[t], tuple(h[:size] for h in hidden), direction)
            hidden = tuple(torch.cat([n, h[size:]]) for n, h in zip(new, hidden, strict=True))
            output[t] = new[0]
        outputs.append(torch.cat(output))
        finals.append(hidden)
    return torch.cat(outputs, dim=1), tuple(torch.stack(f) for f in zip(*finals, strict=True))


def cell(mode: Mode, projected: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """One step of b sequences, as `torch.nn.LSTMCell`: projected inputs (b, G·H), states -> states."""
    hidden = state[0]
    recurrent = F.linear(hidden, weights.hidden, weights.hidden_bias)
    if mode == "LSTM":
        i, f, g, o = (projected + recurrent).chunk(4, dim=1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h if weights.projection is None else F.linear(h, weights.projection)), c
    if mode == "GRU":
        (r, z, n), (hr, hz, hn) = projected.chunk(3, dim=1), recurrent.chunk(3, dim=1)
        n = (n + (r + hr).sigmoid() * hn).tanh()
        return (n + (z + hz).sigmoid() * (hidden - n),)
    total = projected + recurrent
    return (total.tanh() if mode == "RNN_TANH" else total.relu(),)
