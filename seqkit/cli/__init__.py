"""The command line ``python -m seqkit``, and its tools as functions."""

from seqkit.cli.entry import main
from seqkit.cli.sequence_cli import SequenceCLI
from seqkit.cli.tuning import find_lr, find_max_tokens

__all__ = ["SequenceCLI", "find_lr", "find_max_tokens", "main"]
