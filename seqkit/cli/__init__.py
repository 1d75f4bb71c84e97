"""The command line ``python -m seqkit``, and its tools as functions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seqkit.cli.entry import main

if TYPE_CHECKING:
    from seqkit.cli.commands.learning_rate import find_lr
    from seqkit.cli.commands.tuning import find_max_tokens
    from seqkit.cli.noise import without_noise
    from seqkit.cli.sequence_cli import SequenceCLI

__all__ = ["SequenceCLI", "find_lr", "find_max_tokens", "main", "without_noise"]

_MODULES = {
    "SequenceCLI": "sequence_cli",
    "find_lr": "commands.learning_rate",
    "find_max_tokens": "commands.tuning",
    "without_noise": "noise",
}


def __getattr__(name: str) -> Any:
    # On demand: `python -m seqkit --help` answers without Lightning and torch, which take seconds to import.
    if name in _MODULES:
        return getattr(import_module(f"seqkit.cli.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'seqkit.cli' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
