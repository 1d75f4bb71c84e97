"""The entry point of the command line."""

import sys
from collections.abc import Sequence
from typing import Any

from seqkit.cli.subcommands import check_subcommand


def main(args: Sequence[str] | None = None) -> Any:
    """Run ``python -m seqkit``.

    Args:
        args: The arguments after ``python -m seqkit``, the subcommand first; by default those of the process.

    Returns:
        What ``sweep`` found; the file of ``export``; the model of ``share``; None for ``predict --text``; for all
        other subcommands the :class:`~seqkit.cli.SequenceCLI` after its run.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    subcommand = check_subcommand(arguments)
    # After the check: these import Lightning and torch, which takes seconds.
    from seqkit.cli.noise import without_noise

    with without_noise(resumes=subcommand == "fit"):
        if subcommand == "predict" and any(each.partition("=")[0] == "--text" for each in arguments):
            from seqkit.cli.commands.predict import predict_command

            predict_command(arguments[1:])
            return None
        if subcommand == "sweep":
            from seqkit.cli.commands.sweep import sweep_command

            return sweep_command(arguments[1:])
        if subcommand == "export":
            from seqkit.cli.commands.export import export_command

            return export_command(arguments[1:])
        if subcommand == "share":
            from seqkit.cli.commands.share import share_command

            return share_command(arguments[1:])
        if subcommand == "serve":
            from seqkit.cli.commands.serve import serve_command

            return serve_command(arguments[1:])
        from seqkit.cli.sequence_cli import SequenceCLI

        return SequenceCLI(None if args is None else arguments)
