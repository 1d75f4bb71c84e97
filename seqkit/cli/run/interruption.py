"""What a stopped training says: its last checkpoint, the command that continues it, and the exit status."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqkit.cli.subcommands import PROGRAM
from seqkit.upstream.lightning import find_callbacks


def exit_status(error: BaseException) -> int | None:
    """Return the exit status of a process that a signal has stopped: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        error: What the trainer has raised: after Ctrl-C a ``SystemExit`` of status 1, after SIGTERM of 0.

    Returns:
        The status, or None for another error.
    """
    if isinstance(error, SIGTERMException):
        return 128 + signal.SIGTERM
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return None


def last_checkpoint(trainer: Trainer) -> str | None:
    """Return the checkpoint that a trainer's fit has saved last, or None."""
    paths = []
    for callback in find_callbacks(trainer, ModelCheckpoint):
        # The best one may be of the run that was resumed.
        is_own = os.path.dirname(callback.best_model_path) == str(callback.dirpath)
        paths += [callback.last_model_path, *([callback.best_model_path] if is_own else [])]
    return max(filter(os.path.isfile, paths), key=os.path.getmtime, default=None)


def command_to_continue(args: Sequence[str], checkpoint: str) -> str:
    """Return the command that continues a fit.

    Args:
        args: The arguments of its command line.
        checkpoint: The checkpoint to continue from.
    """
    kept = [
        arg
        for before, arg in pairwise(["", *args])
        if "--ckpt_path" not in (before, arg) and not arg.startswith("--ckpt_path=")
    ]
    return shell_text([*PROGRAM.split(), *kept, "--ckpt_path", checkpoint])


def shell_text(command: Sequence[str]) -> str:
    """Return a command or options as a text that the system's shell splits into the same arguments."""
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)
