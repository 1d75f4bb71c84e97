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

from seqkit.kernels.layout import EPSILON, PLAIN, Extras, Gradients, Mode, Steps, Weights
from seqkit.kernels.projection import project


def forward(
    mode: Mode,
    data: Tensor,
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,
    *,
    keep: bool,  # noqa: ARG001 -- nothing is saved by not keeping it
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Runs all steps.

    Args:
        mode: The cell.
        data: (N, I) the inputs.
        steps: Where the tokens lie.
        state: h_0 (D, B, P) and, of an LSTM, c_0 (D, B, H).
        weights: Of each direction.
        extras: What else the layer does.
        keep: Whether `backward` may follow; else an implementation may return nothing for it.

    Returns:
        The output (N, D·P), the final states (D, B, ·), and what `backward` needs besides: with a gain on the input
        product what `projection.project` returns for it; the gates (D, N, S·H);
        of an LSTM, the cell states (D, N, H); with a gain on the recurrent product, that product (D, N, G·H),
        normalised, and the inverse of its standard deviation (D, N, 1).
    """
    gates, products = project(mode, data, weights, extras.input_gain)
    units = gates.size(2) // (4 if mode in ("LSTM", "GRU") else 1)
    _flip(gates, steps)
    weight = torch.stack([w.hidden.t() for w in weights])  # (D, P, G·H)
    projection = _stacked_projection(weights, transposed=True)  # (D, H, P)
    states = [gates.new_empty(*gates.shape[:2], s.size(2)) for s in state]
    normal = [gates.new_empty(*gates.shape[:2], n) for n in (weight.size(2), 1) if extras.hidden_gain is not None]
    keep_hidden, keep_cell = (_by_step(k, steps) for k in (extras.keep_hidden, extras.keep_cell))
    normal_by_step = [torch.split(n, steps.sizes, dim=1) for n in normal]
    final = [s.clone() for s in state]
    columns = zip(*(torch.split(s, steps.sizes, dim=1) for s in states), strict=True)
    before = tuple(state)
    for t, (g, now) in enumerate(zip(torch.split(gates, steps.sizes, dim=1), columns, strict=True)):
        size = steps.sizes[t]
        before = tuple(s[:, :size] for s in before)
        fed = before[0] if extras.hidden_mask is None else before[0] * extras.hidden_mask[:, :size]
        recurrent = g[..., : weight.size(2)]
        if extras.hidden_gain is None:
            recurrent.baddbmm_(fed, weight)
        else:
            hat, scale = _normalise(torch.bmm(fed, weight), normal_by_step[0][t])
            normal_by_step[1][t].copy_(scale)
            recurrent.addcmul_(hat, extras.hidden_gain.unsqueeze(1))
        if mode == "LSTM":
            g[..., : 2 * units].sigmoid_()
            g[..., 2 * units : 3 * units].tanh_()
            g[..., 3 * units :].sigmoid_()
            i, f, c_new, o = g.chunk(4, dim=2)
            torch.mul(f, before[1], out=now[1]).addcmul_(i, c_new)
            if projection is None:
                torch.mul(_squashed(now[1], extras), o, out=now[0])
            else:
                now[0].copy_(torch.bmm(_squashed(now[1], extras).mul_(o), projection))
            if keep_cell:
                now[1].lerp_(before[1], keep_cell[t])
        elif mode == "GRU":
            g[..., : 2 * units].sigmoid_()
            r, z, q, n = g.chunk(4, dim=2)
            n.addcmul_(r, q).tanh_()
            torch.lerp(n, before[0], z, out=now[0])
        else:
            torch.tanh(g, out=now[0]) if mode == "RNN_TANH" else torch.clamp(g, min=0, out=now[0])
            if keep_hidden:
                g.copy_(now[0])
        if keep_hidden:
            now[0].lerp_(before[0], keep_hidden[t])
        before = now
    if steps.sizes:
        last = steps.offsets[steps.lengths - 1] + torch.arange(len(steps.lengths))
        for ended, s in zip(final, states, strict=True):
            ended[:, : len(last)] = s[:, last.to(s.device)]
    output = _flip(states[0], steps).transpose(0, 1).flatten(1)
    return output, tuple(final), (*products, gates, *states[1:], *normal)


def backward(
    mode: Mode,
    gradient: Tensor,
    final_gradients: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,
) -> Gradients:
    """Runs all steps backwards.

    Args:
        mode: The cell.
        gradient: (N, D·P) of the output.
        final_gradients: Of the final states, each (D, B, ·).
        output: (N, D·P) as `forward` returned it.
        saved: The last of what `forward` returned, from the gates on; this implementation leaves it as it is,
            others may overwrite it.
        steps: Where the tokens lie.
        state: As `forward` got it.
        weights: As `forward` got them.
        extras: As `forward` got them.
    """
    directions, tokens, size_of_output = len(weights), steps.tokens, state[0].size(2)
    units = saved[0].size(2) // (4 if mode in ("LSTM", "GRU") else 1)
    previous = steps.previous.to(gradient.device)
    gates = saved[0].view(directions, tokens, saved[0].size(2) // units, units)
    hidden, above = (_in_order(v.view(tokens, directions, size_of_output), steps) for v in (output, gradient))
    hidden_before = torch.cat([hidden, state[0]], dim=1).index_select(1, previous)

    # `slope`: the derivative of the carried dh or dc by each slot before its nonlinearity. Each step
    # multiplies it in place, which leaves the gradient of the gates.
    slope = torch.empty_like(gates)
    if mode == "LSTM":
        i, f, g, o = gates.unbind(2)
        cell_before = torch.cat([saved[1], state[1]], dim=1).index_select(1, previous)
        cell = saved[1] if extras.keep_cell is None else torch.addcmul(i * g, f, cell_before)
        cell_hat, cell_scale = _normalise(cell) if extras.cell_gain is not None else (cell, cell)
        squashed = _squashed(cell, extras)
        torch.mul(g, i, out=slope[:, :, 0]).mul_(1 - i)
        torch.mul(cell_before.mul_(f), 1 - f, out=slope[:, :, 1])
        torch.addcmul(i, i * g, g, value=-1, out=slope[:, :, 2])
        torch.mul(squashed, o, out=slope[:, :, 3]).mul_(1 - o)
        to_cell = torch.addcmul(o, o * squashed, squashed, value=-1)
        forget = torch.split(f, steps.sizes, dim=1)
        to_cell_by_step = torch.split(to_cell, steps.sizes, dim=1)
        cell_normal = [torch.split(v, steps.sizes, dim=1) for v in (cell_hat, cell_scale)]
    elif mode == "GRU":
        r, z, q, n = gates.unbind(2)
        torch.mul(1 - z, 1 - n * n, out=slope[:, :, 3])
        torch.mul(slope[:, :, 3], r, out=slope[:, :, 2])
        torch.mul(slope[:, :, 2], q, out=slope[:, :, 0]).mul_(1 - r)
        torch.mul(hidden_before - n, z, out=slope[:, :, 1]).mul_(1 - z)
        update = torch.split(z, steps.sizes, dim=1)
    else:
        new = hidden if extras.keep_hidden is None else gates[:, :, 0]
        slope[:, :, 0] = 1 - new * new if mode == "RNN_TANH" else new > 0

    weight = torch.stack([w.hidden for w in weights])  # (D, G·H, P)
    projection = _stacked_projection(weights)  # (D, P, H)
    fed = weight.size(1)
    product = slope.new_empty(directions * (steps.sizes[0] if steps.sizes else 0) * size_of_output)
    normal_by_step = [torch.split(v, steps.sizes, dim=1) for v in saved[-2:] if extras.hidden_gain is not None]
    products = torch.empty_like(saved[-2]) if extras.hidden_gain is not None else None
    products_by_step = None if products is None else torch.split(products, steps.sizes, dim=1)
    keep_hidden, keep_cell = (_by_step(k, steps) for k in (extras.keep_hidden, extras.keep_cell))
    # The gradients of each token's new hidden state, as far as its weights need them: (D, N, P) and (D, N, H).
    projected = torch.empty_like(above) if projection is not None else above
    unprojected = torch.empty_like(squashed) if extras.cell_gain is not None else above
    offset = tokens
    carry = [f.clone() for f in final_gradients]  # of the states, by sequence
    above_by_step = torch.split(above, steps.sizes, dim=1)
    slope_by_step = torch.split(slope, steps.sizes, dim=1)
    for t in reversed(range(len(steps.sizes))):
        size, s = steps.sizes[t], slope_by_step[t]
        offset -= size
        dh = carry[0][:, :size]
        dh.add_(above_by_step[t])
        if keep_hidden:
            stays = dh * keep_hidden[t]
            dh.sub_(stays)
        p = product[: directions * size * size_of_output].view(directions, size, size_of_output)
        if mode == "LSTM":
            dc = carry[1][:, :size]
            d = dh
            if projection is not None:
                projected[:, offset : offset + size] = dh
                d = torch.bmm(dh, projection)
            if extras.cell_gain is not None:
                unprojected[:, offset : offset + size] = d
            if keep_cell:
                cell_stays = dc * keep_cell[t]
                dc.sub_(cell_stays)
            if extras.cell_gain is None:
                dc.addcmul_(d, to_cell_by_step[t])
            else:
                of_hat = d * to_cell_by_step[t] * extras.cell_gain.unsqueeze(1)
                dc.add_(_normalise_back(of_hat, cell_normal[0][t], cell_normal[1][t]))
            s[:, :, :3].mul_(dc.unsqueeze(2))
            s[:, :, 3].mul_(d)
            dc.mul_(forget[t])
            if keep_cell:
                dc.add_(cell_stays)
        else:
            s.mul_(dh.unsqueeze(2))
        of_product = s.flatten(2)[:, :, :fed]
        if extras.hidden_gain is not None and products_by_step is not None:
            of_hat = of_product * extras.hidden_gain.unsqueeze(1)
            of_product = products_by_step[t]
            of_product.copy_(_normalise_back(of_hat, normal_by_step[0][t], normal_by_step[1][t]))
        torch.bmm(of_product, weight, out=p)
        if extras.hidden_mask is not None:
            p.mul_(extras.hidden_mask[:, :size])
        if mode == "GRU":
            torch.addcmul(p, dh, update[t], out=dh)
        else:
            dh.copy_(p)
        if keep_hidden:
            dh.add_(stays)

    slots = slope.flatten(2)
    found = Gradients(slots, hidden_before, tuple(carry))
    if extras.hidden_mask is not None:
        hidden_before.mul_(extras.hidden_mask.index_select(1, steps.sequences.to(gradient.device)))
    if products is not None:
        found = found._replace(products=products, hidden_gain=(slots[:, :, :fed] * saved[-2]).sum(1))
    if projection is not None:
        found = found._replace(projection=projected.mT @ (squashed * o))
    if extras.cell_gain is not None:
        of_normal = unprojected.mul_(to_cell)
        found = found._replace(cell_gain=(of_normal * cell_hat).sum(1), cell_bias=of_normal.sum(1))
    _flip(slots, steps)
    _flip(hidden_before, steps)
    if products is not None:
        _flip(products, steps)
    return found


def _flip(values: Tensor, steps: Steps) -> Tensor:
    """Reverses the sequences of the second direction in place, if there is one: (D, N, *)."""
    if values.size(0) == 2:
        values[1] = values[1].index_select(0, steps.reversal.to(values.device))
    return values


def _in_order(values: Tensor, steps: Steps) -> Tensor:
    """From tokens (N, D, ·) to those of each direction in the order of its sweep (D, N, ·)."""
    if values.size(1) == 1:
        return values.transpose(0, 1)
    forth, back = values.unbind(1)
    return torch.stack([forth, back.index_select(0, steps.reversal.to(values.device))])


def _by_step(values: Tensor | None, steps: Steps) -> tuple[Tensor, ...]:
    """Shares (D, N, ·) in the order of the sweep, by step; empty for None."""
    return () if values is None else torch.split(_flip(values.clone(), steps), steps.sizes, dim=1)


def _stacked_projection(weights: Sequence[Weights], *, transposed: bool = False) -> Tensor | None:
    found = [w.projection for w in weights if w.projection is not None]
    return torch.stack([w.t() if transposed else w for w in found]) if found else None


def _squashed(cell: Tensor, extras: Extras) -> Tensor:
    """What the output gate lets pass of the cell state: (D, ·, H)."""
    if extras.cell_gain is None or extras.cell_bias is None:
        return cell.tanh()
    hat, _ = _normalise(cell)
    return torch.addcmul(extras.cell_bias.unsqueeze(1), hat, extras.cell_gain.unsqueeze(1)).tanh_()


def _normalise(values: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Values with mean 0 and variance 1 in the last dimension, and the inverse of the standard deviation."""
    centred = torch.sub(values, values.mean(-1, keepdim=True), out=out)
    scale = centred.square().mean(-1, keepdim=True).add_(EPSILON).rsqrt_()
    return centred.mul_(scale), scale


def _normalise_back(gradient: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """From the gradient of normalised values to that of the values."""
    centred = gradient - gradient.mean(-1, keepdim=True)
    return centred.addcmul_(normal, (gradient * normal).mean(-1, keepdim=True), value=-1).mul_(scale)
