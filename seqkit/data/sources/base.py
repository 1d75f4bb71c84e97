"""What a source is, and the Arrow files in which sources keep what they parsed."""

import hashlib
import inspect
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from seqkit.upstream.datasets import cache_folder, write_arrow

SPLITS = ("train", "validation", "test")

_SHARDS = 64  # of a dataset on disk that is streamed: many, so that their order is worth shuffling


class Source(ABC):
    """Where rows come from. Any object with this ``load`` is a source; a config names it by ``class_path``."""

    @abstractmethod
    def load(self) -> datasets.DatasetDict:
        """Return the splits that exist, keyed ``train``, ``validation`` and ``test``."""

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as streams, here of the loaded ones."""
        return streamed(self.load())


def streamed(splits: Mapping[str, datasets.Dataset]) -> datasets.IterableDatasetDict:
    """Return streams of datasets, in at most 64 shards each."""
    return datasets.IterableDatasetDict(
        {
            split: rows.to_iterable_dataset(num_shards=max(1, min(_SHARDS, len(rows))))
            for split, rows in splits.items()
        }
    )


def named_splits(
    train: str | None = None, validation: str | None = None, test: str | None = None
) -> dict[str, str]:
    """Return the given files by split.

    Raises:
        ValueError: If none is given.
    """
    paths = {split: path for split, path in zip(SPLITS, (train, validation, test), strict=True) if path}
    if not paths:
        raise ValueError("no file given: name at least one of train, validation and test")
    return paths


def parsed(
    parse: Callable[..., Mapping[str, Any]],
    paths: Sequence[str | Path],
    options: Mapping[str, Any],
    features: datasets.Features,
    split: str,
) -> datasets.Dataset:
    """Return ``Dataset.from_dict(parse(*paths, **options), features)``, memory-mapped and kept on disk.

    The Arrow file lies in the cache folder of `datasets` under a hash of the files' contents, the options, the
    features and the parser's own code, so an unchanged file is parsed once. That hash is also the dataset's
    fingerprint: what is later ``map``-ped over it is cached too, which a dataset in memory would not be.

    Args:
        parse: Module-level function from the paths to columns (lists or Arrow arrays).
        paths: The files that it reads.
        options: Its other arguments, by name; plain types.
        features: The columns' types.
        split: The name that the dataset gets.
    """
    contents = [_digest(path) for path in (inspect.getfile(parse), *paths)]
    key = repr((parse.__name__, contents, sorted(options.items()), features))
    fingerprint = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    folder = cache_folder() / "seqkit"
    file = folder / f"{fingerprint}.arrow"
    if not file.exists():
        columns = datasets.Dataset.from_dict(dict(parse(*paths, **options)), features=features)
        folder.mkdir(parents=True, exist_ok=True)
        # A second process may parse the same file: each writes its own, the rename is atomic.
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            partial = Path(temporary, file.name)
            write_arrow(columns.data.table, features, partial, fingerprint=fingerprint)
            os.replace(partial, file)
    return datasets.Dataset.from_file(str(file), split=datasets.NamedSplit(split))


def _digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
