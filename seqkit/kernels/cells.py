"""What the implementations share: the cells and a layer's weights."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor

from seqkit.packed import PackedLayout

Mode = Literal["LSTM", "GRU", "RNN_TANH", "RNN_RELU"]

GATES: dict[Mode, int] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
SLOTS: dict[Mode, int] = {"LSTM": 4, "GRU": 4, "RNN_TANH": 1, "RNN_RELU": 1}
STATES: dict[Mode, int] = {"LSTM": 2, "GRU": 1, "RNN_TANH": 1, "RNN_RELU": 1}


class Weights(NamedTuple):
    """The weights of one direction of a layer; G is the number of gates, P the size of the output."""

    input: Tensor  # (G·H, I)
    hidden: Tensor  # (G·H, P)
    input_bias: Tensor | None  # (G·H,)
    hidden_bias: Tensor | None  # (G·H,)
    projection: Tensor | None  # (P, H)


class Extras(NamedTuple):
    """What a layer does that torch's does not; None where it does nothing. G is the number of gates.

    The gains and the bias of layer normalisation (Ba et al. 2016, https://arxiv.org/abs/1607.06450) are learned;
    no gradient is taken of the mask and of the shares.
    """

    hidden_mask: Tensor | None = None  # (D, B or more, P), times the hidden state in the recurrent product
    keep_hidden: Tensor | None = None  # (D, N, P), zoneout: the share of the hidden state before that stays
    keep_cell: Tensor | None = None  # (D, N, H), zoneout of an LSTM's cell state
    input_gain: Tensor | None = None  # (D, G·H), layer normalisation of the input product
    hidden_gain: Tensor | None = None  # (D, G·H), of the recurrent product
    cell_gain: Tensor | None = None  # (D, H), of an LSTM's cell state on its way to the output
    cell_bias: Tensor | None = None  # (D, H)


class Gradients(NamedTuple):
    """What a sweep back returns; S is the number of slots of a unit. None stands where there is no such weight."""

    slots: Tensor  # (D, N, S·H), of the gates before their nonlinearity
    before: Tensor  # (D, N, P), no gradient: what the hidden weight was multiplied with at each token
    initial: tuple[Tensor, ...]  # of the initial states
    products: Tensor | None = None  # (D, N, G·H), of the recurrent product, where that is normalised
    projection: Tensor | None = None  # (D, P, H)
    hidden_gain: Tensor | None = None  # these as in Extras
    cell_gain: Tensor | None = None
    cell_bias: Tensor | None = None


PLAIN = Extras()
LEARNED = ("input_gain", "hidden_gain", "cell_gain", "cell_bias")
EPSILON = 1e-5  # of layer normalisation


def by_direction(weights: Sequence[Tensor]) -> list[Weights]:
    """Splits a layer's flat weights, in the order of ``torch.nn.RNNBase.all_weights``, by direction."""
    count = len(weights) // _directions(weights)
    groups = [weights[start : start + count] for start in range(0, len(weights), count)]
    if count in (2, 3):  # without biases
        return [Weights(g[0], g[1], None, None, g[2] if count == 3 else None) for g in groups]
    return [Weights(g[0], g[1], g[2], g[3], g[4] if count == 5 else None) for g in groups]


def _directions(weights: Sequence[Tensor]) -> int:
    """A direction has two matrices, perhaps two biases, and perhaps a projection."""
    count = len(weights)
    if count == 4:
        return 2 if weights[2].dim() == 2 else 1
    return 1 if count < 6 else 2


def shape(mode: Mode, weights: Sequence[Tensor]) -> tuple[int, int, int]:
    """D, H and P."""
    return _directions(weights), weights[0].size(0) // GATES[mode], weights[1].size(1)


def zeros(mode: Mode, layout: PackedLayout, weights: Sequence[Tensor]) -> list[Tensor]:
    """Initial states (D, B, P) and, of an LSTM, (D, B, H)."""
    directions, units, size = shape(mode, weights)
    return [
        weights[0].new_zeros(directions, layout.num_sequences, width) for width in (size, units)[: STATES[mode]]
    ]


def is_projected(mode: Mode, weights: Sequence[Tensor]) -> bool:
    """Whether the layer has a proj_size, which is smaller than H."""
    _, units, size = shape(mode, weights)
    return units != size
