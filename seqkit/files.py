"""Write a file completely or not at all, and never over a file that is read."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import iglob
from pathlib import Path
from typing import Any

from seqkit.options import nearest


def check_regular_file(path: str | Path) -> None:
    """Check that a path names a file whose size is known and that can be read twice.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, a pipe or a device. Reading from a pipe could wait for ever.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; name a file")
    if not os.path.exists(path):
        folder, name = os.path.split(path)
        names = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        found = nearest(name, names)
        remedy = "" if found is None else f"; did you mean {os.path.join(folder, found)!r}?"
        raise FileNotFoundError(errno.ENOENT, f"no such file{remedy}", str(path))
    if not os.path.isfile(path):
        raise ValueError(f"{path} is a pipe or a device; write its content to a file and name that")


def private_folder(path: Path) -> Path:
    """Create a folder beside ``path`` that only this user can open, under a name that no other process has.

    Args:
        path: The file that will be written; its parent folder is created.

    Raises:
        OSError: The file cannot be written there.
    """
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        return Path(tempfile.mkdtemp(prefix=f".{path.stem[:80]}.", suffix=".partial", dir=path.parent))


def new_folders(folder: Path) -> list[Path]:
    """Return those of a folder and the folders above it that do not exist, the innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, up to one that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path and rename it to ``path`` when the block ends without an error.

    If the block raises, the temporary file is removed and ``path`` keeps its old content. The parent folder is
    created. The temporary path has the same name in a :func:`private_folder` beside ``path``: libraries that choose
    a format by suffix work, and processes can write the same file at the same time. A symbolic link is replaced,
    not followed.

    Args:
        path: The file to write or replace.

    Raises:
        OSError: The file cannot be written, because the disk is full, for example.
    """
    folder = private_folder(path)
    try:
        with clear_write_errors(path):
            yield folder / path.name
            os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder and move its files to ``folder`` when the block ends without an error.

    If the block raises, the temporary folder is removed and ``folder`` is as it was. Each file replaces one of the
    same name at once; files of other names stay. The folder and those above it are created.

    Args:
        folder: Where the files go.

    Raises:
        OSError: The files cannot be written, because the disk is full or ``folder`` is a file, for example.
    """
    is_new = not folder.exists()
    temporary = private_folder(folder / "model")
    try:
        with clear_write_errors(folder):
            yield temporary
            for path in sorted(temporary.iterdir()):
                os.replace(path, folder / path.name)
                is_new = False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Make operating-system errors in the block say which file could not be written.

    Raises:
        OSError: An error of the same kind, with a message.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        message = f"cannot write {path}: {reason}; free some space, or give a path in a writable folder"
        raise (OSError(message) if error.errno is None else OSError(error.errno, message)) from error


def check_not_read(path: Path, read: Any) -> None:
    """Check that a file to write is none of the files that are read, whatever the paths are called.

    Args:
        path: The file to write.
        read: Whatever names the files that are read: a path, a pattern with ``*``, a source or another object with
            attributes, or containers of these. Strings that name no file do not matter.

    Raises:
        ValueError: It is one of them, by another name, a symbolic or a hard link too.
    """
    if path.exists():
        for name in _paths(read):
            for found in iglob(name) if "*" in name else [name]:
                if os.path.exists(found) and os.path.samefile(path, found):
                    raise ValueError(f"{path} would be overwritten, but {found} is read; give another path")


def _paths(read: Any) -> Iterator[str]:
    if isinstance(read, str | os.PathLike):
        yield os.fspath(read)
    elif isinstance(read, Mapping):
        for value in read.values():
            yield from _paths(value)
    elif isinstance(read, list | tuple):
        for value in read:
            yield from _paths(value)
    elif hasattr(read, "__dict__"):
        for value in vars(read).values():
            if isinstance(value, str | os.PathLike | Mapping | list | tuple) or hasattr(value, "load"):
                yield from _paths(value)
