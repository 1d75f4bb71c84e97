"""Fewer or more steps in each sequence of packed data, and stacks of layers of which some do that."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn.dropout import Dropout
from seqkit.packed import PackedLayout

__all__ = ["Downsample", "Stack", "Upsample"]


class Downsample(nn.Module):
    """Make one step of every ``factor`` steps: a sequence of L tokens becomes one of ceil(L / factor).

    Where L is no multiple, the last step is made of the tokens that are left.

    Args:
        input_size: D, the features of a token.
        factor: Steps that become one.
        mode: ``concat`` puts their features side by side (those of missing tokens are zero; Chan and others 2016,
            https://arxiv.org/abs/1508.01211, the pyramid of "Listen, Attend and Spell"); ``mean`` and ``max`` are
            over the tokens that are there.

    Attributes:
        output_size: The features of a step afterwards: D × factor, or D.

    Raises:
        ValueError: ``factor`` is below 1.
    """

    def __init__(self, input_size: int, factor: int = 2, mode: Literal["concat", "mean", "max"] = "concat") -> None:
        super().__init__()
        _check_factor(self, factor)
        self.input_size = input_size
        self.factor = factor
        self.mode = mode
        self.output_size = input_size * factor if mode == "concat" else input_size

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Turn data (N, D) into data (M, output_size); the sequences keep their order."""
        sizes = values.batch_sizes[:: self.factor]  # ceil(L / factor) > s just where L > s * factor
        device = values.data.device
        old, new = PackedLayout.of(values), PackedLayout(sizes).on(device)
        ranks = new.ranks[:, None]
        window = new.positions[:, None] * self.factor + torch.arange(self.factor, device=device)  # (M, factor)
        there = window < old.lengths[ranks]
        index = torch.where(there, old.index(window.masked_fill(~there, 0), ranks), 0)
        found = values.data[index]  # (M, factor, D)
        missing = ~there[:, :, None]
        match self.mode:
            case "concat":
                data = found.masked_fill(missing, 0).flatten(1)
            case "mean":
                data = found.masked_fill(missing, 0).sum(1) / there.sum(1, keepdim=True)
            case "max":
                data = found.masked_fill(missing, -torch.inf).amax(1)
        return PackedSequence(data, sizes, values.sorted_indices, values.unsorted_indices)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.input_size}, factor={self.factor}, mode={self.mode!r}"


class Upsample(nn.Module):
    """Make ``factor`` steps of every step: a sequence of L tokens becomes one of L × factor.

    Args:
        input_size: D, the features of a token.
        factor: Steps that one becomes.
        output_size: The features of a step afterwards, by a linear map for each of the ``factor`` steps. None: each
            of them is the token itself, which only a layer that follows can tell apart.

    Attributes:
        output_size: The features of a step afterwards.

    Raises:
        ValueError: ``factor`` is below 1.
    """

    def __init__(self, input_size: int, factor: int = 2, output_size: int | None = None) -> None:
        super().__init__()
        _check_factor(self, factor)
        self.input_size = input_size
        self.factor = factor
        self.output_size = input_size if output_size is None else output_size
        self.linear = None if output_size is None else nn.Linear(input_size, factor * output_size)

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Turn data (N, D) into data (N × factor, output_size); the sequences keep their order."""
        sizes = values.batch_sizes.repeat_interleave(self.factor)
        data = values.data
        old, new = PackedLayout.of(values), PackedLayout(sizes).on(data.device)
        before = new.positions // self.factor
        index = old.index(before, new.ranks)
        if self.linear is not None:
            data = self.linear(data).unflatten(1, (self.factor, self.output_size)).flatten(0, 1)
            index = index * self.factor + (new.positions - before * self.factor)
        return PackedSequence(data.index_select(0, index), sizes, values.sorted_indices, values.unsorted_indices)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.input_size}, factor={self.factor}, output_size={self.output_size}"


class Stack(nn.Module):
    """Layers one after the other as one encoder, of which some may change the number of steps.

    Args:
        input_size: D, the features of a token.
        layers: Each without its ``input_size``; the built module has ``output_size`` and maps a PackedSequence to
            a PackedSequence, or to one and its state.
        dropout: Probability of dropping a feature between two layers.

    Attributes:
        output_size: The features of the last layer's steps.

    Raises:
        ValueError: There is no layer, or one has no ``output_size``.
    """

    def __init__(self, input_size: int, layers: Sequence[Callable[[int], nn.Module]], dropout: float = 0.0) -> None:
        super().__init__()
        if not layers:
            raise ValueError("Stack: layers is empty; give at least one, for example seqkit.nn.LSTM")
        self.input_size = input_size
        self.layers = nn.ModuleList()
        self.output_size = input_size
        for layer in layers:
            built = layer(self.output_size)
            size = getattr(built, "output_size", None)
            if not isinstance(size, int):
                raise ValueError(
                    f"Stack: layer {type(built).__name__} has no `output_size`; a layer has `input_size`, "
                    f"`output_size` and forward(PackedSequence), as seqkit.nn.LSTM has"
                )
            self.layers.append(built)
            self.output_size = size
        self.dropout = Dropout(dropout)

    def forward(self, values: PackedSequence) -> tuple[PackedSequence, Any]:
        """Turn data (N, D) into data (M, output_size), beside the state of the last layer that has one."""
        state = None
        for number, layer in enumerate(self.layers):
            found = layer(values if number == 0 else self.dropout(values))
            if isinstance(found, PackedSequence):
                values = found
            else:
                values, state = found
        return values, state


def _check_factor(module: nn.Module, factor: int) -> None:
    if factor < 1:
        raise ValueError(f"{type(module).__name__}: factor is {factor}; give 1 or more")
