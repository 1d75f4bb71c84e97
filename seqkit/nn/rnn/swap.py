"""Replace torch's recurrent modules in an existing model by seqkit's, in place, and the reverse."""

from collections.abc import Mapping

from torch import nn
from torch.nn.utils import parametrize

from seqkit.nn.rnn.base import RecurrentBase
from seqkit.nn.rnn.layers import GRU, LSTM, RNN
from seqkit.upstream.torch import change_class

OURS: Mapping[type[nn.Module], type[nn.Module]] = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}
STOCK: Mapping[type[nn.Module], type[nn.Module]] = {ours: stock for stock, ours in OURS.items()}


def swap_recurrent(model: nn.Module) -> list[str]:
    """Change every `torch.nn.LSTM`, `GRU` and `RNN` of a model into that of `seqkit.nn`, in place.

    The module objects and their parameters stay the same: references to them, for example in optimisers, remain
    valid, and hooks are kept. Subclasses of torch's modules are not changed, since they have their own forward.

    Args:
        model: Any module, also one of the three itself.

    Returns:
        The names of the changed modules, as in `torch.nn.Module.named_modules`.

    Raises:
        ValueError: One of them has parametrizations; no module is changed.
    """
    return _exchange(model, OURS)


def restore_recurrent(model: nn.Module) -> list[str]:
    """Change every `LSTM`, `GRU` and `RNN` of `seqkit.nn` into that of torch, in place: undo `swap_recurrent`.

    Args:
        model: Any module, also one of the three itself.

    Returns:
        The names of the changed modules, as in `torch.nn.Module.named_modules`.

    Raises:
        ValueError: One of them has parametrizations or options that torch lacks; no module is changed.
    """
    return _exchange(model, STOCK)


def _exchange(model: nn.Module, types: Mapping[type[nn.Module], type[nn.Module]]) -> list[str]:
    found = {}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            kind = type(module).__bases__[0]  # parametrize derives a class from it
            if kind in types:
                raise ValueError(
                    f"{_label(name, kind)} has parametrizations of {sorted(module.parametrizations)}; "
                    "remove them first (torch.nn.utils.parametrize.remove_parametrizations)"
                )
        elif type(module) in types:
            if isinstance(module, RecurrentBase) and module.has_options:
                raise ValueError(
                    f"{_label(name, type(module))} has options that torch lacks: {module}; build it without them"
                )
            found[name] = module
    for module in found.values():
        change_class(module, types[type(module)])
    return list(found)


def _label(name: str, kind: type[nn.Module]) -> str:
    return f"{name or 'the model itself'} ({kind.__name__})"
