"""Layers that change the number of steps of packed sequences, and stacks of layers."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn.dropout import Dropout
from seqkit.packed import PackedLayout

__all__ = ["Downsample", "Stack", "Upsample"]


class Downsample(nn.Module):
    """Merge every ``factor`` steps into one: a sequence of L tokens becomes one of ceil(L / factor).

    If L is not a multiple of ``factor``, the last step is made of the remaining tokens.

    Args:
        input_size: D, number of input features of a token.
        factor: Number of steps to merge.
        mode: ``concat`` concatenates the features, with zeros for missing tokens (the pyramid of "Listen, Attend
            and Spell", Chan et al. 2016, https://arxiv.org/abs/1508.01211); ``mean`` and ``max`` reduce the tokens
            that exist.

    Attributes:
        output_size: Number of output features of a step: D × factor for ``concat``, else D.

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
        """Map data (N, D) to data (M, output_size); the sequences keep their order."""
        sizes = values.batch_sizes[:: self.factor]  # ceil(L / factor) > s if and only if L > s * factor
        device = values.data.device
        old, new = PackedLayout.of(values), PackedLayout(sizes).on(device)
        ranks = new.ranks[:, None]
        window = new.positions[:, None] * self.factor + torch.arange(self.factor, device=device)  # (M, factor)
        exists = window < old.lengths[ranks]
        index = torch.where(exists, old.index(window.masked_fill(~exists, 0), ranks), 0)
        tokens = values.data[index]  # (M, factor, D)
        missing = ~exists[:, :, None]
        match self.mode:
            case "concat":
                data = tokens.masked_fill(missing, 0).flatten(1)
            case "mean":
                data = tokens.masked_fill(missing, 0).sum(1) / exists.sum(1, keepdim=True)
            case "max":
                data = tokens.masked_fill(missing, -torch.inf).amax(1)
        return PackedSequence(data, sizes, values.sorted_indices, values.unsorted_indices)

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return f"{self.input_size}, factor={self.factor}, mode={self.mode!r}"


class Upsample(nn.Module):
    """Expand every step to ``factor`` steps: a sequence of L tokens becomes one of L × factor.

    Args:
        input_size: D, number of input features of a token.
        factor: Number of steps that replace one.
        output_size: Number of output features of a step, from one linear map for each of the ``factor`` steps; None
            repeats the token.

    Attributes:
        output_size: Number of output features of a step.

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
        """Map data (N, D) to data (N × factor, output_size); the sequences keep their order."""
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
        """Show the constructor's arguments."""
        return f"{self.input_size}, factor={self.factor}, output_size={self.output_size}"


class Stack(nn.Module):
    """Chain layers to one encoder; layers may change the number of steps.

    Args:
        input_size: D, number of input features of a token.
        layers: Functions from an input size to a module with ``output_size``, which maps a PackedSequence to a
            PackedSequence, or to a PackedSequence and a state.
        dropout: Dropout probability of the features between two layers.

    Attributes:
        output_size: Number of features of the last layer.

    Raises:
        ValueError: ``layers`` is empty, or a layer has no ``output_size``.
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
        """Map data (N, D) to data (M, output_size) and the state of the last layer that has one."""
        state = None
        for number, layer in enumerate(self.layers):
            output = layer(values if number == 0 else self.dropout(values))
            if isinstance(output, PackedSequence):
                values = output
            else:
                values, state = output
        return values, state


def _check_factor(module: nn.Module, factor: int) -> None:
    if factor < 1:
        raise ValueError(f"{type(module).__name__}: factor is {factor}; give 1 or more")
