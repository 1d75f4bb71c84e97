"""What the implementations share: the cells, where tokens lie in packed data, and a layer's weights."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Mode = Literal["LSTM", "GRU", "RNN_TANH", "RNN_RELU"]

GATES: dict[Mode, int] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
SLOTS: dict[Mode, int] = {"LSTM": 4, "GRU": 4, "RNN_TANH": 1, "RNN_RELU": 1}
STATES: dict[Mode, int] = {"LSTM": 2, "GRU": 1, "RNN_TANH": 1, "RNN_RELU": 1}


class Steps:
    """Where the N tokens of B packed sequences lie; made once a batch and shared by all layers.

    Token *j* of step *t* (of the *j*-th longest sequence) stands in row ``offsets[t] + j`` of the data.

    Args:
        batch_sizes: (T,) int64 on the CPU, the number of sequences that are still running at each step.
        tokens: N, if it is known.
    """

    def __init__(self, batch_sizes: Tensor, tokens: int | None = None) -> None:
        self.batch_sizes = batch_sizes.contiguous()
        self._tokens = tokens

    @cached_property
    def sizes(self) -> list[int]:
        """The batch sizes, T of them."""
        sizes: list[int] = self.batch_sizes.tolist()
        return sizes

    @cached_property
    def tokens(self) -> int:
        """N, the number of tokens."""
        return sum(self.sizes) if self._tokens is None else self._tokens

    @cached_property
    def offsets(self) -> Tensor:
        """(T,) the row of each step's first token."""
        return self.batch_sizes.cumsum(0) - self.batch_sizes

    @cached_property
    def positions(self) -> Tensor:
        """(N,) the step of each token."""
        return torch.arange(self.batch_sizes.size(0)).repeat_interleave(self.batch_sizes, output_size=self.tokens)

    @cached_property
    def sequences(self) -> Tensor:
        """(N,) the sequence of each token, counted from the longest."""
        return sequences(self.batch_sizes, self.tokens)

    @cached_property
    def lengths(self) -> Tensor:
        """(number of sequences with a token,) the length of each sequence, longest first."""
        return self.sequences.bincount()

    @cached_property
    def reversal(self) -> Tensor:
        """(N,) the row of the token that takes each place when all sequences are reversed; its inverse."""
        mirrored = self.lengths[self.sequences] - 1 - self.positions
        return self.offsets[mirrored] + self.sequences

    @cached_property
    def previous(self) -> Tensor:
        """(N,) the row of the token before each; before the first of sequence *j* stands row N + *j*."""
        before = self.offsets[(self.positions - 1).clamp_(min=0)] + self.sequences
        return torch.where(self.positions == 0, self.tokens + self.sequences, before)


def sequences(batch_sizes: Tensor, tokens: int) -> Tensor:
    """(N,) the sequence of each token, counted from the longest; a compiled graph can hold it."""
    offsets = batch_sizes.cumsum(0) - batch_sizes
    return torch.arange(tokens) - offsets.repeat_interleave(batch_sizes, output_size=tokens)


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


def zeros(mode: Mode, steps: Steps, weights: Sequence[Tensor]) -> list[Tensor]:
    """Initial states (D, B, P) and, of an LSTM, (D, B, H)."""
    directions, units, size = shape(mode, weights)
    sequences = steps.sizes[0] if steps.sizes else 0
    return [weights[0].new_zeros(directions, sequences, width) for width in (size, units)[: STATES[mode]]]


def is_projected(mode: Mode, weights: Sequence[Tensor]) -> bool:
    """Whether the layer has a proj_size, which is smaller than H."""
    _, units, size = shape(mode, weights)
    return units != size
