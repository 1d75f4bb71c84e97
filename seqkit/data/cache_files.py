"""Files of a cache that several processes may need at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from datasets import Dataset
from filelock import FileLock

from seqkit.upstream.datasets import fingerprint

_PATIENCE = 600.0  # seconds, after which a process no longer waits for another


def rows_key(dataset: Dataset) -> str:
    """Return a key of a dataset's rows: its fingerprint, and the sizes and times of its files.

    The fingerprint alone does not tell rows apart that another version of a function made, as `datasets` hashes a
    function in a module by its name. The key of a dataset whose files are gone is new in each call.
    """
    try:
        status = [Path(file["filename"]).stat() for file in dataset.cache_files]
    except OSError:
        return uuid4().hex
    return repr((fingerprint(dataset), [(file.st_size, file.st_mtime_ns) for file in status]))


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let one process at a time make a file; those that waited find it made.

    The lock saves work and nothing else: a file is written completely or not at all. So the block also runs if
    there can be no lock, as in a folder that is not writable, and if another process holds it for ten minutes.

    Args:
        file: The file. The lock is in the folder ``locks`` beside it.
    """
    lock = FileLock(file.parent / "locks" / f"{file.name}.lock", timeout=_PATIENCE)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
