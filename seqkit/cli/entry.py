"""The entry point of the command line."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from seqkit.cli.subcommands import check_subcommand

if TYPE_CHECKING:
    from lightning.pytorch import Callback

_COMMANDS = ("sweep", "export", "share", "serve", "doctor", "predict")  # with own parsers; predict of texts only


def main(args: Sequence[str] | None = None, callbacks: "Sequence[Callback]" = ()) -> Any:
    """Run ``python -m seqkit``.

    Args:
        args: The arguments after ``python -m seqkit``, the subcommand first; by default those of the process.
        callbacks: Callbacks of the trainer, next to those of the config: objects that a config cannot describe,
            such as one that reports to a search of hyper-parameters.

    Returns:
        What ``sweep`` or ``doctor`` found; the file of ``export``; the model of ``share``; None for
        ``predict --text``; for all other subcommands the :class:`~seqkit.cli.SequenceCLI` after its run.

    Raises:
        ValueError: There are callbacks, but the subcommand has no trainer that takes them.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    subcommand = check_subcommand(arguments)
    # After the check: these import Lightning and torch, which takes seconds.
    from seqkit.cli.noise import without_noise

    with without_noise(resumes=subcommand == "fit"):
        texts = any(argument.partition("=")[0] == "--text" for argument in arguments)
        if subcommand in _COMMANDS and (subcommand != "predict" or texts):
            if callbacks:
                raise ValueError(f"{subcommand} takes no callbacks; give them to fit, validate, test or predict")
            command = getattr(import_module(f"seqkit.cli.commands.{subcommand}"), f"{subcommand}_command")
            return command(arguments[1:])
        from seqkit.cli.sequence_cli import SequenceCLI

        return SequenceCLI(None if args is None else arguments, callbacks)
