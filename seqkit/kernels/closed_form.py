"""The two sweeps over the steps in plain torch operations: any device, any floating dtype, no dependency.

Both directions advance together: the second one runs on time-reversed sequences, which have the same batch
sizes, so that each step is one batched product and a handful of elementwise operations. All that does not
depend on the step before is done for all tokens at once; nothing is recorded by autograd.

D is the number of directions and S the number of slots of a unit: 4 in an LSTM (gates i, f, g, o), 4 in a GRU
(r, z, the recurrent part of n, n), 1 in an RNN.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.layout import Mode, Steps


def forward(
    mode: Mode, gates: Tensor, steps: Steps, state: Sequence[Tensor], hidden_weights: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Runs all steps.

    Args:
        mode: The cell.
        gates: (D, N, S·H) everything the gates get but the recurrent product; overwritten.
        steps: Where the tokens lie.
        state: h_0 and, of an LSTM, c_0, each (D, B, H).
        hidden_weights: Of each direction, (G·H, H).

    Returns:
        The output (N, D·H), the final states (D, B, H), and what `backward` needs besides.
    """
    width = state[0].size(2)
    _flip(gates, steps)
    weight = torch.stack([w.t() for w in hidden_weights])  # (D, H, G·H)
    product = gates.new_empty(gates.size(0) * (steps.sizes[0] if steps.sizes else 0) * weight.size(2))
    states = [torch.empty(*gates.shape[:2], width, dtype=gates.dtype, device=gates.device) for _ in state]
    final = [s.clone() for s in state]
    columns = zip(*(torch.split(s, steps.sizes, dim=1) for s in states), strict=True)
    before = tuple(state)
    for size, g, now in zip(steps.sizes, torch.split(gates, steps.sizes, dim=1), columns, strict=True):
        before = tuple(s[:, :size] for s in before)
        p = product[: g.size(0) * size * weight.size(2)].view(g.size(0), size, -1)
        torch.bmm(before[0], weight, out=p)
        if mode == "LSTM":
            g.add_(p)
            g[..., : 2 * width].sigmoid_()
            g[..., 2 * width : 3 * width].tanh_()
            g[..., 3 * width :].sigmoid_()
            i, f, c_new, o = g.chunk(4, dim=2)
            torch.mul(f, before[1], out=now[1]).addcmul_(i, c_new)
            torch.tanh(now[1], out=now[0]).mul_(o)
        elif mode == "GRU":
            g[..., : 3 * width].add_(p)
            g[..., : 2 * width].sigmoid_()
            r, z, q, n = g.chunk(4, dim=2)
            n.addcmul_(r, q).tanh_()
            torch.lerp(n, before[0], z, out=now[0])
        else:
            g.add_(p)
            torch.tanh(g, out=now[0]) if mode == "RNN_TANH" else torch.clamp(g, min=0, out=now[0])
        before = now
    if steps.sizes:
        last = steps.offsets[steps.lengths - 1] + torch.arange(len(steps.lengths))
        for f, s in zip(final, states, strict=True):
            f[:, : len(last)] = s[:, last.to(s.device)]
    hidden = _flip(states[0], steps)
    output = hidden.transpose(0, 1).flatten(1)
    return output, tuple(final), ((gates, states[1]) if mode == "LSTM" else (gates,))


def backward(
    mode: Mode,
    gradient: Tensor,
    final_gradients: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    steps: Steps,
    state: Sequence[Tensor],
    hidden_weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Runs all steps backwards.

    Args:
        mode: The cell.
        gradient: (N, D·H) of the output.
        final_gradients: Of the final states, each (D, B, H).
        output: (N, D·H) as `forward` returned it.
        saved: The last of what `forward` returned; left as it is.
        steps: Where the tokens lie.
        state: As `forward` got it.
        hidden_weights: As `forward` got them.

    Returns:
        The gradient of the gates before their nonlinearity (D, N, S·H), the hidden state before each token
        (D, N, H), and the gradients of the initial states.
    """
    width = state[0].size(2)
    directions, tokens = len(hidden_weights), steps.tokens
    previous = steps.previous.to(gradient.device)
    gates = saved[0].view(directions, tokens, saved[0].size(2) // width, width)
    hidden = _flip(output.view(tokens, directions, width).transpose(0, 1).contiguous(), steps)
    above = _flip(gradient.view(tokens, directions, width).transpose(0, 1).contiguous(), steps)
    hidden_before = torch.cat([hidden, state[0]], dim=1).index_select(1, previous)

    # `slope`: the derivative of the carried dh or dc by each slot before its nonlinearity. Each step
    # multiplies it in place, which leaves the gradient of the gates.
    slope = torch.empty_like(gates)
    if mode == "LSTM":
        i, f, g, o = gates.unbind(2)
        cell_before = torch.cat([saved[1], state[1]], dim=1).index_select(1, previous)
        squashed = saved[1].tanh()
        torch.mul(g, i, out=slope[:, :, 0]).mul_(1 - i)
        torch.mul(cell_before.mul_(f), 1 - f, out=slope[:, :, 1])
        torch.addcmul(i, i * g, g, value=-1, out=slope[:, :, 2])
        torch.mul(squashed, o, out=slope[:, :, 3]).mul_(1 - o)
        to_cell = torch.addcmul(o, o * squashed, squashed, value=-1)
        forget = torch.split(f, steps.sizes, dim=1)
        to_cell_by_step = torch.split(to_cell, steps.sizes, dim=1)
    elif mode == "GRU":
        r, z, q, n = gates.unbind(2)
        torch.mul(1 - z, 1 - n * n, out=slope[:, :, 3])
        torch.mul(slope[:, :, 3], r, out=slope[:, :, 2])
        torch.mul(slope[:, :, 2], q, out=slope[:, :, 0]).mul_(1 - r)
        torch.mul(hidden_before - n, z, out=slope[:, :, 1]).mul_(1 - z)
        keep = torch.split(z, steps.sizes, dim=1)
    else:
        slope[:, :, 0] = 1 - hidden * hidden if mode == "RNN_TANH" else hidden > 0

    weight = torch.stack(list(hidden_weights))  # (D, G·H, H)
    product = slope.new_empty(directions * (steps.sizes[0] if steps.sizes else 0) * width)
    carry = [f.clone() for f in final_gradients]  # of the states, by sequence
    above_by_step = torch.split(above, steps.sizes, dim=1)
    slope_by_step = torch.split(slope, steps.sizes, dim=1)
    for t in reversed(range(len(steps.sizes))):
        size, s = steps.sizes[t], slope_by_step[t]
        dh = carry[0][:, :size]
        dh.add_(above_by_step[t])
        p = product[: directions * size * width].view(directions, size, width)
        if mode == "LSTM":
            dc = carry[1][:, :size]
            dc.addcmul_(dh, to_cell_by_step[t])
            s[:, :, :3].mul_(dc.unsqueeze(2))
            s[:, :, 3].mul_(dh)
            dc.mul_(forget[t])
            dh.copy_(torch.bmm(s.flatten(2), weight, out=p))
        else:
            s.mul_(dh.unsqueeze(2))
            torch.bmm(s[:, :, : weight.size(1) // width].flatten(2), weight, out=p)
            if mode == "GRU":
                torch.addcmul(p, dh, keep[t], out=dh)
            else:
                dh.copy_(p)
    return _flip(slope.flatten(2), steps), _flip(hidden_before, steps), tuple(carry)


def _flip(values: Tensor, steps: Steps) -> Tensor:
    """Reverses the sequences of the second direction in place, if there is one: (D, N, *)."""
    if values.size(0) == 2:
        values[1] = values[1].index_select(0, steps.reversal.to(values.device))
    return values
