"""Undocumented parts of torch."""

import math
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau


def change_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Replace the class of a module in place, which keeps its identity, parameters and hooks.

    Torch documents no way to change the forward of an existing module without replacing the object. Both classes
    must keep the same attributes. Checked with torch 2.13.
    """
    module.__class__ = cls


def set_plateau_mode(scheduler: ReduceLROnPlateau, mode: str) -> None:
    """Set whether a scheduler that has not made a step yet looks for a minimum (``min``) or a maximum (``max``).

    Torch takes the mode in the constructor only; the state dict contains it and the best value so far. Checked
    with torch 2.13.
    """
    scheduler.load_state_dict({"mode": mode, "best": math.inf if mode == "min" else -math.inf})


def stock_forward(module: nn.RNNBase, input: Any, hx: Any) -> Any:
    """Run the forward of `torch.nn.LSTM`, `GRU` or `RNN` on a module that is no instance of it.

    This reaches cuDNN, which no documented function does. `seqkit.nn.LSTM` cannot inherit from `torch.nn.LSTM`, as
    `torch.compile` does not trace subclasses of that. The module must have ``check_forward_args`` and
    ``permute_hidden`` for its kind of state. Checked with torch 2.13.
    """
    stock: Any = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(module.mode, nn.RNN)
    return stock.forward(module, input, hx)
