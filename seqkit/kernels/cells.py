"""The cells, and one recurrent layer on one batch as the implementations get it.

In shapes, D is the number of directions, H the units of a direction, P the size of its output, G the number of
gates and S the number of slots of a unit: 4 in an LSTM (gates i, f, g, o), 4 in a GRU (r, z, the recurrent part of
n, n), 1 in an RNN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, Self

from torch import Tensor

from seqkit.packed import PackedLayout

Mode = Literal["LSTM", "GRU", "RNN_TANH", "RNN_RELU"]

GATES: dict[Mode, int] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
SLOTS: dict[Mode, int] = {"LSTM": 4, "GRU": 4, "RNN_TANH": 1, "RNN_RELU": 1}
STATES: dict[Mode, int] = {"LSTM": 2, "GRU": 1, "RNN_TANH": 1, "RNN_RELU": 1}
EPSILON = 1e-5  # of layer normalisation


class Weights(NamedTuple):
    """The weights of one direction of a layer."""

    input: Tensor  # (G·H, I)
    hidden: Tensor  # (G·H, P)
    input_bias: Tensor | None  # (G·H,)
    hidden_bias: Tensor | None  # (G·H,)
    projection: Tensor | None  # (P, H)


class Extras(NamedTuple):
    """The options of a layer that torch's layers lack; None where an option is not used.

    The gains and the bias of layer normalisation (Ba et al. 2016, https://arxiv.org/abs/1607.06450) are learned.
    The mask and the shares get no gradient.
    """

    hidden_mask: Tensor | None = None  # (D, B or more, P), multiplies the hidden state in the recurrent product
    keep_hidden: Tensor | None = None  # (D, N, P), zoneout: the share of the previous hidden state that is kept
    keep_cell: Tensor | None = None  # (D, N, H), zoneout of an LSTM's cell state
    input_gain: Tensor | None = None  # (D, G·H), layer normalisation of the input product
    hidden_gain: Tensor | None = None  # (D, G·H), of the recurrent product
    cell_gain: Tensor | None = None  # (D, H), of an LSTM's cell state before the output gate
    cell_bias: Tensor | None = None  # (D, H)


NO_EXTRAS = Extras()
LEARNED = ("input_gain", "hidden_gain", "cell_gain", "cell_bias")


@dataclass(frozen=True)
class Layer:
    """One recurrent layer on one batch: everything that an implementation reads except the input (N, I).

    Attributes:
        mode: The cell, as `torch.nn.RNNBase` names it.
        layout: Where the tokens are.
        state: h_0 (D, B, P) and, of an LSTM, c_0 (D, B, H).
        weights: Flat, in the order of `torch.nn.RNNBase.all_weights`.
        extras: The options that torch's layers lack.
    """

    mode: Mode
    layout: PackedLayout
    state: Sequence[Tensor]
    weights: Sequence[Tensor]
    extras: Extras = NO_EXTRAS

    @classmethod
    def from_tensors(cls, mode: Mode, layout: PackedLayout, tensors: Sequence[Any]) -> Self:
        """Build a layer from its ``tensors``."""
        states, end = STATES[mode], len(tensors) - len(Extras._fields)
        return cls(mode, layout, tensors[:states], tensors[states:end], Extras(*tensors[end:]))

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The states, the weights and the extras."""
        return (*self.state, *self.weights, *self.extras)

    @cached_property
    def directions(self) -> list[Weights]:
        """The weights of each direction."""
        count = len(self.weights) // num_directions(self.weights)
        groups = [self.weights[start : start + count] for start in range(0, len(self.weights), count)]
        if count in (2, 3):  # without biases
            return [Weights(g[0], g[1], None, None, g[2] if count == 3 else None) for g in groups]
        return [Weights(g[0], g[1], g[2], g[3], g[4] if count == 5 else None) for g in groups]


class Gradients(NamedTuple):
    """The result of a backward sweep; None where the layer has no such weight."""

    slots: Tensor  # (D, N, S·H), of the gates before their nonlinearity
    before: Tensor  # (D, N, P), no gradient: the factor of the hidden weight at each token
    initial: tuple[Tensor, ...]  # of the initial states
    products: Tensor | None = None  # (D, N, G·H), of the recurrent product, if that is normalised
    projection: Tensor | None = None  # (D, P, H)
    hidden_gain: Tensor | None = None  # these as in Extras
    cell_gain: Tensor | None = None
    cell_bias: Tensor | None = None


class Sweeps(Protocol):
    """The two functions of an implementation, documented in `seqkit.kernels.closed_form`."""

    def forward(
        self, layer: Layer, data: Tensor, *, keep: bool
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Run all time steps in their order."""

    def backward(
        self, layer: Layer, output: Tensor, saved: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> Gradients:
        """Run all time steps in the opposite order."""


@dataclass(slots=True)
class Call:
    """The arguments of a layer that are no tensors.

    Attributes:
        sweeps: The implementation.
        mode: The cell.
        layout: Where the tokens are.
        keep: Whether a backward may follow.
        overwritten: Whether a backward has overwritten what the forward sweep saved for it. All transforms of
            `torch.func` around one call share these tensors, and therefore this object.
    """

    sweeps: Sweeps
    mode: Mode
    layout: PackedLayout
    keep: bool
    overwritten: bool = False

    @property
    def num_outputs(self) -> int:
        """The number of outputs and final states, which come before the saved tensors."""
        return 1 + STATES[self.mode]

    def layer(self, tensors: Sequence[Tensor | None]) -> Layer:
        """Build the layer from its tensors."""
        return Layer.from_tensors(self.mode, self.layout, tensors)


def num_directions(weights: Sequence[Tensor]) -> int:
    """Count the directions: each has two matrices, possibly two biases, and possibly a projection."""
    count = len(weights)
    if count == 4:
        return 2 if weights[2].dim() == 2 else 1
    return 1 if count < 6 else 2


def shape(mode: Mode, weights: Sequence[Tensor]) -> tuple[int, int, int]:
    """Return D, H and P."""
    return num_directions(weights), weights[0].size(0) // GATES[mode], weights[1].size(1)


def zeros(mode: Mode, layout: PackedLayout, weights: Sequence[Tensor]) -> list[Tensor]:
    """Create initial states (D, B, P) and, of an LSTM, (D, B, H)."""
    directions, units, size = shape(mode, weights)
    widths = (size, units)[: STATES[mode]]
    return [weights[0].new_zeros(directions, layout.num_sequences, width) for width in widths]


def is_projected(mode: Mode, weights: Sequence[Tensor]) -> bool:
    """Return whether the layer has a ``proj_size``."""
    _, units, size = shape(mode, weights)
    return units != size
