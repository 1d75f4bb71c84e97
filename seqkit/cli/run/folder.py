"""Where the files of a command go, and which option names a file that is missing."""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from seqkit.cli.run.interruption import shell_text


def run_folder(checkpoint: str | Path) -> Path | None:
    """Return the folder of the run that has saved a checkpoint: the one that contains its folder ``checkpoints``.

    Returns:
        The folder, or None if the checkpoint is in a folder of another name, or not on this machine.
    """
    folder = Path(checkpoint).parent
    if "://" in str(checkpoint):
        return None
    return Path(os.path.normpath(folder / "..")) if folder.absolute().name == "checkpoints" else None


def next_version(folder: str | Path) -> Path:
    """Return the ``version_N`` that follows those in a folder, as Lightning's loggers number them."""
    return Path(CSVLogger(folder, name=None).log_dir)


def check_writable(folder: str | Path) -> None:
    """Check that files can be created in a folder, or in the nearest one above it that exists; not in a remote one.

    Raises:
        OSError: They cannot; the message names the option for another folder.
    """
    if "://" in str(folder):
        return
    wanted = Path(folder).absolute()
    existing = next(path for path in (wanted, *wanted.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror}; name another folder by --trainer.default_root_dir"
        raise OSError(error.errno, message) from error


def name_option(
    error: FileNotFoundError, options: Iterable[tuple[str, str]], trained_in: str | None
) -> FileNotFoundError:
    """Say which option names a missing file, where it was looked for, and where the training ran.

    Args:
        error: The error of a source.
        options: The options of the source, each with its value.
        trained_in: The working directory of the training, if a checkpoint tells it.

    Returns:
        An error with a longer message, or the same error if no option names the file.
    """
    text = str(error.filename or error)
    found = [(name, value) for name, value in options if value and _names(text, value)]
    if not found:
        return error
    value = found[0][1]
    names = [f"--{name}" for name, other in found if other == value]
    message = f"{error.filename}: {error.strerror}" if error.filename else f"{error}"
    message += f"; it is the value of {' and '.join(names)}"
    if not os.path.isabs(value):
        message += f", relative to {Path.cwd()}"
    if trained_in is not None and trained_in != os.getcwd():
        message += f". The training ran in {trained_in}"
        there = os.path.join(trained_in, value)
        if not os.path.isabs(value) and os.path.exists(there):
            added = shell_text([arg for name in names for arg in (name, there)])
            message += f", where it exists: run the command there, or add {added}"
    return FileNotFoundError(message)


def _names(text: str, value: str) -> bool:
    """Whether a path, or a message, names a value of an option."""
    return re.search(rf"(?<![\w./\\]){re.escape(value)}(?![\w/\\]|\.\w)", text) is not None
