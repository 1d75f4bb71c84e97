"""Where the files of a command go, and which option names a file that is missing."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from seqkit.cli.run.interruption import shell_text
from seqkit.data.sources import SPLITS
from seqkit.files import remove_empty

_AT_START = ("config.yaml", "hparams.yaml", "events.out.tfevents.*")


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


def remove_unused(folders: Sequence[Path]) -> None:
    """Remove the folder of a run that has written no values and no checkpoint, only what it writes at its start.

    Args:
        folders: The folder, and those above it that the run has created, the innermost first.
    """
    files = list(folders[0].iterdir()) if folders[0].is_dir() else []
    if all(any(file.match(pattern) for pattern in _AT_START) for file in files):
        with suppress(OSError):  # such as one that is open on Windows
            for file in files:
                file.unlink()
        remove_empty(folders)


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
    """Say which option names a missing file, which other splits' files are missing, and where the training ran.

    Args:
        error: The error of a source about the first file that it does not find.
        options: The options of the source, each with its value.
        trained_in: The working directory of the training, if a checkpoint tells it.

    Returns:
        An error with a longer message, or the same error if no option names the file.
    """
    text = str(error.filename or error)
    given = [(name, value) for name, value in options if value]
    first = next((value for _, value in given if _names(text, value)), None)
    if first is None:
        return error
    others = [value for name, value in given if name.rpartition(".")[2] in SPLITS and _is_missing(value)]
    missing = {
        value: [f"--{name}" for name, other in given if other == value] for value in dict.fromkeys([first, *others])
    }
    message = f"{error.filename}: {error.strerror}" if error.filename else f"{error}"
    message += f"; it is the value of {' and '.join(missing[first])}"
    for value in [*missing][1:]:
        message += f"; nor is there {value}, the value of {' and '.join(missing[value])}"
    relative = [value for value in missing if not os.path.isabs(value)]
    if relative:
        message += f", relative to {Path.cwd()}"
    if trained_in is not None and trained_in != os.getcwd():
        message += f". The training ran in {trained_in}"
        there = {value: os.path.join(trained_in, value) for value in relative}
        there = {value: path for value, path in there.items() if os.path.exists(path)}
        if there:
            added = shell_text(
                [arg for value, path in there.items() for name in missing[value] for arg in (name, path)]
            )
            which = "it exists" if len(missing) == 1 else f"{len(there)} of these exist"
            message += f", where {which}: run the command there, or add {added}"
    return FileNotFoundError(message)


def _is_missing(value: str) -> bool:
    """Whether a file of this machine does not exist; a pattern may name any."""
    return not ("://" in value or "*" in value or os.path.exists(value))


def _names(text: str, value: str) -> bool:
    """Whether a path, or a message, names a value of an option."""
    return re.search(rf"(?<![\w./\\]){re.escape(value)}(?![\w/\\]|\.\w)", text) is not None
