"""The interface of a source, and the on-disk cache of parsed files."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from seqkit.data.cache_files import locked
from seqkit.data.code_key import code_key
from seqkit.files import atomic_write, check_regular_file
from seqkit.options import instance
from seqkit.upstream.datasets import cache_folder, write_arrow

SPLITS = ("train", "validation", "test")

_NUM_SHARDS = 64  # of a stream of a dataset on disk; shuffling a stream shuffles its shards


class Source(ABC):
    """Reads a dataset's splits. Any object with this ``load`` is a source; a config names it by ``class_path``."""

    @abstractmethod
    def load(self) -> datasets.DatasetDict:
        """Return the splits that exist, keyed ``train``, ``validation`` and ``test``."""

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as iterable datasets; by default those of the loaded splits."""
        return to_streams(self.load())

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        """Whether a class is a source: any class with ``load`` is one, also for the command line."""
        return NotImplemented if cls is not Source else callable(getattr(other, "load", None))


def to_streams(splits: Mapping[str, datasets.Dataset]) -> datasets.IterableDatasetDict:
    """Return each split as an iterable dataset of at most 64 shards."""
    return datasets.IterableDatasetDict(
        {
            split: rows.to_iterable_dataset(num_shards=max(1, min(_NUM_SHARDS, len(rows))))
            for split, rows in splits.items()
        }
    )


def split_paths(train: str | None = None, validation: str | None = None, test: str | None = None) -> dict[str, str]:
    """Return the given paths by split.

    Raises:
        TypeError: If a path is none.
        ValueError: If no path is given.
    """
    for split, path in zip(SPLITS, (train, validation, test), strict=True):
        instance(split, path, str | Path)
    paths = {split: path for split, path in zip(SPLITS, (train, validation, test), strict=True) if path}
    if not paths:
        raise ValueError("no file given: name at least one of train, validation and test")
    return paths


def parse_cached(
    parse: Callable[..., Mapping[str, Any]],
    paths: Sequence[str | Path],
    options: Mapping[str, Any],
    features: datasets.Features,
    split: str,
) -> datasets.Dataset:
    """Return ``Dataset.from_dict(parse(*paths, **options), features)``, memory-mapped from a cached Arrow file.

    The Arrow file is in the cache folder of `datasets`. Its name is a hash of the files' names and contents, the
    options, the features and the parser's code (see `seqkit.data.code_key.code_key`), so an unchanged file is
    parsed once. The hash is also the dataset's fingerprint: `datasets` caches what is ``map``-ped over it, which it
    does not do for datasets in memory.

    Args:
        parse: A module-level function from paths to columns (lists or Arrow arrays). Of a path, only the last part
            may decide what it returns, such as ``.gz`` at its end.
        paths: The files that it reads.
        options: Its keyword arguments, of plain types.
        features: The types of the columns.
        split: The name of the dataset's split.

    Raises:
        FileNotFoundError: A file is missing.
        OSError: The cache cannot be written; nothing of it is left then.
        ValueError: A path names a folder, a pipe or a device, or `parse` raises one.
    """
    contents = [(Path(path).name, _hash_file(path)) for path in paths]
    code = parse.__module__, parse.__qualname__, code_key(__name__, parse.__module__)
    key = repr((code, contents, sorted(options.items()), features))
    fingerprint = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    file = cache_folder() / "seqkit" / f"{fingerprint}.arrow"
    with locked(file):
        if not file.exists():
            columns = datasets.Dataset.from_dict(dict(parse(*paths, **options)), features=features)
            try:
                with atomic_write(file) as temporary:
                    write_arrow(columns.data.table, features, temporary, fingerprint=fingerprint)
            except OSError as error:
                message = f"{error.strerror or error}; or let HF_DATASETS_CACHE name another folder for caches"
                raise OSError(*([] if error.errno is None else [error.errno]), message) from error
    return datasets.Dataset.from_file(str(file), split=datasets.NamedSplit(split))


def _hash_file(path: str | Path) -> str:
    check_regular_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
