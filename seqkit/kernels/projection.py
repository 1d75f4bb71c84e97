"""What enters the gates from the inputs: one large product over all tokens, in plain torch operations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.cells import EPSILON, Mode, Weights


def input_blocks(mode: Mode, height: int) -> list[tuple[slice, slice]]:
    """Which slots the rows of an input weight (G·H, I) feed: pairs (columns of slots, weight rows)."""
    if mode != "GRU":
        return [(slice(0, height), slice(0, height))]
    width = height // 3  # slots r, z, q, n: q has the recurrent part of n and no input
    rz, n = slice(0, 2 * width), slice(2 * width, height)
    return [(rz, rz), (slice(height, height + width), n)]


def project(
    mode: Mode, data: Tensor, weights: Sequence[Weights], gain: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Inputs times input weights, normalised if there is a gain, plus all biases: (D, N, S·H).

    Returns:
        Them and, for `normalise_back`, the product (D, N, G·H), its mean and the inverse of its deviation.
    """
    height = weights[0].input.size(0)
    blocks = input_blocks(mode, height)
    gates = data.new_empty(len(weights), data.size(0), blocks[-1][0].stop)
    kept = []
    for d, (g, w) in enumerate(zip(gates, weights, strict=True)):
        bias = None
        if w.input_bias is not None and w.hidden_bias is not None:
            bias = w.input_bias + w.hidden_bias
            if mode == "GRU":
                bias[blocks[1][1]] = w.input_bias[blocks[1][1]]
        normal = None
        if gain is not None:
            product = torch.mm(data, w.input.t())
            normal, *statistics = torch.native_layer_norm(product, [height], gain[d], bias, EPSILON)
            kept.append((product, *statistics))
        for columns, rows in blocks:
            if normal is not None:
                g[:, columns] = normal[:, rows]
            elif bias is None:
                torch.mm(data, w.input[rows].t(), out=g[:, columns])
            else:
                torch.addmm(bias[rows], data, w.input[rows].t(), out=g[:, columns])
        if mode == "GRU":
            recurrent_part = g[:, 2 * height // 3 : height]
            if w.hidden_bias is None:
                recurrent_part.zero_()
            else:
                recurrent_part.copy_(w.hidden_bias[blocks[1][1]])
    return gates, tuple(torch.stack(tensors) for tensors in zip(*kept, strict=True))


def normalise_back(
    of_normal: Sequence[Sequence[tuple[Tensor, slice]]], kept: Sequence[Tensor], gain: Tensor
) -> tuple[list[list[tuple[Tensor, slice]]], Tensor]:
    """From the gradients of `project`'s normalised blocks to that of each product, (N, G·H), and of the gain."""
    found, of_gain = [], []
    for blocks, product, mean, scale, g in zip(of_normal, *kept, gain, strict=True):
        above = torch.cat([block for block, _ in blocks], dim=1)
        of_product, weight, _ = torch.ops.aten.native_layer_norm_backward(
            above, product, [len(g)], mean, scale, g, None, [True, True, False]
        )
        found.append([(of_product, slice(0, len(g)))])
        of_gain.append(weight)
    return found, torch.stack(of_gain)
