"""The input product of the gates: one large product over all tokens, in torch operations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqkit.kernels.cells import EPSILON, Layer, Mode
from seqkit.upstream.torch import layer_norm_backward, layer_norm_with_statistics


def input_blocks(mode: Mode, height: int) -> list[tuple[slice, slice]]:
    """Map the rows of an input weight (G·H, I) to the slots they feed: pairs (columns of slots, weight rows)."""
    if mode != "GRU":
        return [(slice(0, height), slice(0, height))]
    width = height // 3  # slots r, z, q, n: q is the recurrent part of n and gets no input
    rz, n = slice(0, 2 * width), slice(2 * width, height)
    return [(rz, rz), (slice(height, height + width), n)]


def project(layer: Layer, data: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Multiply data (N, I) by the input weights, normalise if there is a gain, and add all biases.

    Returns:
        The slots (D, N, S·H) and, if there is a gain, what `normalise_back` needs: the product (D, N, G·H), its
        mean and the inverse of its standard deviation (D, N, 1).
    """
    mode, weights, gain = layer.mode, layer.directions, layer.extras.input_gain
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
            normal, *statistics = layer_norm_with_statistics(product, gain[d], bias, EPSILON)
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
    """Compute the gradients of each product (N, G·H) and of the gain from those of the normalised blocks."""
    found, of_gain = [], []
    for blocks, product, mean, scale, g in zip(of_normal, *kept, gain, strict=True):
        above = torch.cat([block for block, _ in blocks], dim=1)
        of_product, weight = layer_norm_backward(above, product, mean, scale, g)
        found.append([(of_product, slice(0, len(g)))])
        of_gain.append(weight)
    return found, torch.stack(of_gain)
