"""Someone else's model at full speed: its recurrent modules become ours in place, and torch's again."""

from collections.abc import Mapping

from torch import nn
from torch.nn.utils import parametrize

from seqkit.nn.rnn.layers import GRU, LSTM, RNN
from seqkit.nn.rnn.options import RecurrentExtras

__all__ = ["restore_recurrent", "swap_recurrent"]

OURS: Mapping[type[nn.Module], type[nn.Module]] = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}
STOCK: Mapping[type[nn.Module], type[nn.Module]] = {ours: stock for stock, ours in OURS.items()}


def swap_recurrent(model: nn.Module) -> list[str]:
    """Turns every `torch.nn.LSTM`, `GRU` and `RNN` of a model into that of `seqkit.nn`, in place.

    The module objects stay the same ones, and so do their parameters: optimizers, state dicts and other references
    to them remain valid, and hooks stay. Subclasses of torch's modules are left as they are, since their forward is
    their own.

    Args:
        model: Any module, or one of the three itself.

    Returns:
        The names of the swapped modules, as `torch.nn.Module.named_modules` gives them; empty if there is none.

    Raises:
        ValueError: One of them has parametrizations (nothing is swapped then).
    """
    return _exchange(model, OURS)


def restore_recurrent(model: nn.Module) -> list[str]:
    """Turns every `LSTM`, `GRU` and `RNN` of `seqkit.nn` into torch's, in place: the undo of `swap_recurrent`.

    Args:
        model: Any module, or one of the three itself.

    Returns:
        The names of the restored modules; empty if there is none.

    Raises:
        ValueError: One of them has parametrizations, or does what torch's cannot do (nothing is restored then).
    """
    return _exchange(model, STOCK)


def _exchange(model: nn.Module, types: Mapping[type[nn.Module], type[nn.Module]]) -> list[str]:
    found = {}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            kind = type(module).__bases__[0]  # parametrize puts a class of its own on top
            if kind in types:
                raise ValueError(
                    f"{_label(name, kind)} has parametrizations of {sorted(module.parametrizations)}; "
                    "remove them first (torch.nn.utils.parametrize.remove_parametrizations)"
                )
        elif type(module) in types:
            if isinstance(module, RecurrentExtras) and not module.is_plain:
                raise ValueError(f"{_label(name, type(module))} has options that torch's lacks: {module}; leave it")
            found[name] = module
    for module in found.values():
        # Plain ones keep no state of their own, so that the class is all that differs.
        module.__class__ = types[type(module)]
    return list(found)


def _label(name: str, kind: type[nn.Module]) -> str:
    return f"{name or 'the model itself'} ({kind.__name__})"
