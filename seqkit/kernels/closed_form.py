"""The two sweeps over the time steps in torch operations, for any device and any floating dtype.

Both directions advance together: the second one runs on time-reversed sequences, which have the same batch sizes,
so that each step is one batched product and a few elementwise operations. Everything that does not depend on the
previous step is computed for all tokens at once. Autograd records nothing. `seqkit.kernels.cells` names the
dimensions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.cells import EPSILON, SLOTS, Extras, Gradients, Layer, Weights
from seqkit.kernels.projection import project
from seqkit.packed import PackedLayout
from seqkit.upstream.torch import relu_backward, sigmoid_backward, tanh_backward, without_version_count


def forward(
    layer: Layer,
    data: Tensor,
    *,
    keep: bool,  # noqa: ARG001 -- here the results for backward cost nothing
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run all time steps.

    Args:
        layer: The layer.
        data: (N, I) the inputs.
        keep: Whether `backward` may follow; otherwise an implementation may return nothing for it.

    Returns:
        The output (N, D·P), the final states (D, B, ·), and the results that `backward` needs: with a gain on the
        input product, those of `projection.project` for it; the gates (D, N, S·H); of an LSTM, the cell states (D,
        N, H); with a gain on the recurrent product, that product (D, N, G·H), normalised, and the inverse of its
        standard deviation (D, N, 1).
    """
    mode, state, weights, extras = layer.mode, layer.state, layer.directions, layer.extras
    layout = layer.layout.on(data.device)
    gates, products = project(layer, data)
    directions, tokens, units = *gates.shape[:2], gates.size(2) // SLOTS[mode]
    for slot in torch.split(gates, units, dim=2):  # one by one, because a copy of one slot is small
        _flip(slot, layout)
    weight = torch.stack([w.hidden for w in weights]).mT  # (D, P, G·H)
    projection = _stacked_projection(weights, transposed=True)  # (D, H, P)
    output = gates.new_empty(tokens, directions, state[0].size(2))
    states = [output.transpose(0, 1), *(gates.new_empty(directions, tokens, s.size(2)) for s in state[1:])]
    normal = [gates.new_empty(directions, tokens, n) for n in (weight.size(2), 1) if extras.hidden_gain is not None]
    # Slice everything that a step reads and writes beforehand: a slice costs as much as a small operation.
    keep_hidden, keep_cell = (_shares(k, layout) for k in (extras.keep_hidden, extras.keep_cell))
    slots = [_by_step(slot, layout) for slot in torch.split(gates, units, dim=2)]
    first_two, recurrent = (_by_step(gates[..., :n], layout) for n in (2 * units, weight.size(2)))
    states_by_step, normal_by_step = ([_by_step(v, layout) for v in values] for values in (states, normal))
    before = list(state)
    for t, size in enumerate(layout.sizes):
        if before[0].size(1) != size:
            before = [s[:, :size] for s in before]
        now = [s[t] for s in states_by_step]
        fed = before[0] if extras.hidden_mask is None else before[0] * extras.hidden_mask[:, :size]
        if extras.hidden_gain is None:
            recurrent[t].baddbmm_(fed, weight)
        else:
            hat, scale = _normalise(torch.bmm(fed, weight), normal_by_step[0][t])
            normal_by_step[1][t].copy_(scale)
            recurrent[t].addcmul_(hat, extras.hidden_gain.unsqueeze(1))
        if mode == "LSTM":
            i, f, new, o = (slot[t] for slot in slots)
            first_two[t].sigmoid_()
            new.tanh_()
            o.sigmoid_()
            torch.mul(f, before[1], out=now[1]).addcmul_(i, new)
            if projection is None:
                torch.mul(_squashed(now[1], extras), o, out=now[0])
            else:
                torch.bmm(_squashed(now[1], extras).mul_(o), projection, out=now[0])
            if keep_cell:
                now[1].lerp_(before[1], keep_cell[t])
        elif mode == "GRU":
            r, z, product, new = (slot[t] for slot in slots)
            first_two[t].sigmoid_()
            new.addcmul_(r, product).tanh_()
            torch.lerp(new, before[0], z, out=now[0])
        else:
            new = slots[0][t]
            torch.tanh(new, out=now[0]) if mode == "RNN_TANH" else torch.clamp(new, min=0, out=now[0])
            if keep_hidden:
                new.copy_(now[0])
        if keep_hidden:
            now[0].lerp_(before[0], keep_hidden[t])
        before = now
    final = [s.clone() for s in state]
    last = layout.last
    for ended, s in zip(final, states, strict=True):
        ended[:, : len(last)] = s[:, last]
    _flip(states[0], layout)
    return output.flatten(1), tuple(final), (*products, gates, *states[1:], *normal)


def backward(layer: Layer, output: Tensor, saved: Sequence[Tensor], gradients: Sequence[Tensor]) -> Gradients:
    """Run all time steps backwards.

    Args:
        layer: The layer, as `forward` got it.
        output: (N, D·P), a result of `forward`.
        saved: The results of `forward` for this function, from the gates on; overwritten.
        gradients: Of the output (N, D·P) and of the final states (D, B, ·).
    """
    mode, state, weights, extras = layer.mode, layer.state, layer.directions, layer.extras
    gradient, *final_gradients = gradients
    layout = layer.layout.on(gradient.device)
    directions, tokens, units = len(weights), layout.num_tokens, saved[0].size(2) // SLOTS[mode]
    # Autograd refuses saved tensors that were changed. LayerFunction knows that these were and computes them again.
    gates = without_version_count(saved[0])
    shape = tokens, directions, state[0].size(2)
    output, gradient = (v.view(shape).transpose(0, 1) for v in (output, gradient))  # (D, N, P)
    # `above`: gradients of the hidden states. A step adds to the gradient of the step before it; the first step
    # adds to `initial`.
    above = _flip(gradient.clone(), layout)
    last = layout.last
    above.index_add_(1, last, final_gradients[0][:, : len(last)])
    initial = [f.clone() for f in final_gradients]
    initial[0][:, : len(last)] = 0

    # Overwrite each slot with the derivative of the new h or c with respect to the slot's value before its
    # nonlinearity. The step multiplies it by the gradient of h or c, which gives the gradient of the slot. The slot
    # of a ReLU keeps its value.
    by_slot = gates.view(directions, tokens, SLOTS[mode], units)
    slots = by_slot.unbind(2)
    if mode == "LSTM":
        i, f, new, o = slots
        cell = without_version_count(saved[1])
        cell_before = _before(cell, state[1], layout, swept=True)
        if extras.keep_cell is not None:
            torch.addcmul(i * new, f, cell_before, out=cell)
        cell_normal = list(_normalise(cell)) if extras.cell_gain is not None else []
        squashed = _squashed(cell, extras, out=cell)
        passed = squashed * o if weights[0].projection is not None else squashed
        to_cell = tanh_backward(o, squashed, out=torch.empty_like(squashed))
        sigmoid_backward(squashed, o, out=o)
        forget = cell.copy_(f)
        sigmoid_backward(cell_before, f, out=f)
        through = sigmoid_backward(new, i, out=cell_before)
        tanh_backward(i, new, out=new)
        i.copy_(through)
        del cell_before, through
        of_cell, of_hidden = (_by_step(s, layout) for s in (by_slot[:, :, :3], by_slot[:, :, 3:]))
        forget_by_step, to_cell_by_step = _by_step(forget, layout), _by_step(to_cell, layout)
        cell_normal_by_step = [_by_step(v, layout) for v in cell_normal]
    elif mode == "GRU":
        r, z, product, new = slots
        hidden_before = _before(output, state[0], layout, swept=False)
        through = _flip(hidden_before.clone(), layout).sub_(new)
        sigmoid_backward(through, z, out=through)
        update = z.clone()
        z.copy_(through)
        tanh_backward(1 - update, new, out=new)
        torch.mul(new, product, out=through)
        torch.mul(new, r, out=product)
        sigmoid_backward(through, r, out=r)
        del through
        update_by_step = _by_step(update, layout)
    else:
        new = slots[0]
        if extras.keep_hidden is None:
            new.copy_(_flip(output.clone(), layout))
        if mode == "RNN_TANH":
            torch.sub(1, new.square(), out=new)
    if mode != "LSTM":
        of_hidden = _by_step(by_slot, layout)

    weight = torch.stack([w.hidden for w in weights])  # (D, G·H, P)
    fed = weight.size(1)
    projection = _stacked_projection(weights)  # (D, P, H)
    unprojected = above if projection is None else gates.new_empty(directions, tokens, units)
    normal = saved[-2:] if extras.hidden_gain is not None else ()
    products = gates[..., :fed] if extras.hidden_gain is None else torch.empty_like(normal[0])  # gradients of these
    keep_hidden, keep_cell = (_shares(k, layout) for k in (extras.keep_hidden, extras.keep_cell))
    above_by_step, unprojected_by_step, recurrent, of_product = (
        _by_step(v, layout) for v in (above, unprojected, gates[..., :fed], products)
    )
    normal_by_step = [_by_step(v, layout) for v in normal]
    dc = initial[-1]
    for t in reversed(range(len(layout.sizes))):
        size, dh = layout.sizes[t], above_by_step[t]
        before = above_by_step[t - 1] if t else initial[0]
        if before.size(1) != size:
            before = before[:, :size]
        if keep_hidden:
            before.addcmul_(dh, keep_hidden[t])
            dh.addcmul_(dh, keep_hidden[t], value=-1)
        if mode == "LSTM":
            d = dh if projection is None else torch.bmm(dh, projection, out=unprojected_by_step[t])
            if dc.size(1) != size:
                dc = initial[1][:, :size]
            if keep_cell:
                stays = dc * keep_cell[t]
                dc.sub_(stays)
            if extras.cell_gain is None:
                dc.addcmul_(d, to_cell_by_step[t])
            else:
                of_hat = d * to_cell_by_step[t] * extras.cell_gain.unsqueeze(1)
                dc.add_(_normalise_back(of_hat, cell_normal_by_step[0][t], cell_normal_by_step[1][t]))
            of_cell[t].mul_(dc.unsqueeze(2))
            of_hidden[t].mul_(d.unsqueeze(2))
            dc.mul_(forget_by_step[t])
            if keep_cell:
                dc.add_(stays)
        elif mode == "RNN_RELU":  # a product with 0 would be NaN where dh is not finite
            relu_backward(dh.unsqueeze(2), of_hidden[t], out=of_hidden[t])
        else:
            of_hidden[t].mul_(dh.unsqueeze(2))
            if mode == "GRU":
                before.addcmul_(dh, update_by_step[t])
        if extras.hidden_gain is not None:
            of_hat = recurrent[t] * extras.hidden_gain.unsqueeze(1)
            of_product[t].copy_(_normalise_back(of_hat, normal_by_step[0][t], normal_by_step[1][t]))
        if extras.hidden_mask is None:
            before.baddbmm_(of_product[t], weight)
        else:
            before.addcmul_(torch.bmm(of_product[t], weight), extras.hidden_mask[:, :size])

    if mode != "GRU":
        hidden_before = _before(output, state[0], layout, swept=False)
    if extras.hidden_mask is not None:
        hidden_before.mul_(extras.hidden_mask.index_select(1, layout.ranks))
    found = Gradients(gates, hidden_before, tuple(initial))
    if extras.hidden_gain is not None:
        found = found._replace(products=products, hidden_gain=(gates[..., :fed] * normal[0]).sum(1))
        _flip(products, layout)
    if projection is not None:
        found = found._replace(projection=above.mT @ passed)
    if extras.cell_gain is not None:
        of_normal = unprojected.mul_(to_cell)
        found = found._replace(cell_gain=(of_normal * cell_normal[0]).sum(1), cell_bias=of_normal.sum(1))
    for slot in slots:
        _flip(slot, layout)
    return found


def _flip(values: Tensor, layout: PackedLayout) -> Tensor:
    """Reverse the sequences of the second direction in place, if there is one: (D, N, ·)."""
    if values.size(0) == 2:
        values[1] = values[1].index_select(0, layout.reversal)
    return values


def _by_step(values: Tensor, layout: PackedLayout) -> tuple[Tensor, ...]:
    """Split (D, N, ·) into views (D, b, ·) of each time step's tokens."""
    return torch.split(values, layout.sizes, dim=1)


def _shares(values: Tensor | None, layout: PackedLayout) -> tuple[Tensor, ...]:
    """Split shares (D, N, ·) by time step, in the order of the sweep; empty for None."""
    return () if values is None else _by_step(_flip(values.clone(), layout), layout)


def _before(values: Tensor, state: Tensor, layout: PackedLayout, *, swept: bool) -> Tensor:
    """Take the values (D, N, ·) of each token's predecessor in the sweep; the state (D, B, ·) for the first.

    Args:
        values: (D, N, ·) of the tokens.
        state: (D, B, ·).
        layout: Where the tokens are.
        swept: Whether the second direction's tokens, in ``values`` and in the result, are in the order of its
            sweep.
    """
    found = torch.empty_like(values, memory_format=torch.contiguous_format)
    for d, (v, s) in enumerate(zip(values, state, strict=True)):
        if d == 0 or swept:
            first = layout.num_sequences
            found[d, :first] = s[:first]
            torch.index_select(v, 0, layout.previous[first:], out=found[d, first:])
        else:
            torch.index_select(v, 0, layout.next.clamp(max=layout.num_tokens - 1), out=found[d])
            found[d, layout.last] = s[: layout.num_sequences]
    return found


def _stacked_projection(weights: Sequence[Weights], *, transposed: bool = False) -> Tensor | None:
    found = [w.projection for w in weights if w.projection is not None]
    return torch.stack([w.t() if transposed else w for w in found]) if found else None


def _squashed(cell: Tensor, extras: Extras, out: Tensor | None = None) -> Tensor:
    """Normalise the cell state if there is a gain, and apply tanh: (D, ·, H)."""
    if extras.cell_gain is None or extras.cell_bias is None:
        return torch.tanh(cell, out=out)
    hat, _ = _normalise(cell)
    return torch.addcmul(extras.cell_bias.unsqueeze(1), hat, extras.cell_gain.unsqueeze(1), out=out).tanh_()


def _normalise(values: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Normalise to mean 0 and variance 1 in the last dimension; also returns the inverse standard deviation."""
    centred = torch.sub(values, values.mean(-1, keepdim=True), out=out)
    scale = centred.square().mean(-1, keepdim=True).add_(EPSILON).rsqrt_()
    return centred.mul_(scale), scale


def _normalise_back(gradient: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """Compute the gradient of the values from that of the normalised values."""
    centred = gradient - gradient.mean(-1, keepdim=True)
    return centred.addcmul_(normal, (gradient * normal).mean(-1, keepdim=True), value=-1).mul_(scale)
