"""Parquet, JSON and CSV files, and folders written by ``save_to_disk``."""

import json
import os
import zlib
from glob import glob
from gzip import BadGzipFile
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from seqkit.data.sources.base import Source, split_paths
from seqkit.data.sources.lines import numbered_lines
from seqkit.files import check_regular_file

_FORMATS = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
}


class Files(Source):
    """Parquet, JSON (one object a line, or one list of objects) and CSV files; the extension gives the format.

    Text formats may be compressed (``.jsonl.gz``). A path with a ``*`` names several files.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
    """

    def __init__(self, train: str | None = None, validation: str | None = None, test: str | None = None) -> None:
        self.paths = split_paths(train, validation, test)
        self.formats = {split: _format(path) for split, path in self.paths.items()}

    def load(self) -> datasets.DatasetDict:
        """Return the splits, as ``datasets.load_dataset`` reads them.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a path names a folder, a pipe or a device, or if a file is empty or does not have the
                format of its extension; names the file and what is wrong.
        """
        splits = {}
        for split, path in self.paths.items():
            _check_files(path)
            try:
                splits[split] = self._load(split)
            except (DatasetGenerationError, ValueError, StopIteration, EOFError, BadGzipFile, zlib.error) as error:
                reason = _broken_json_line(path) or f"{error.__cause__ or error}".strip() or "the file is empty"
                raise ValueError(
                    f"{path} ({split}) is not readable as {self.formats[split]}: {reason}; correct it, or download "
                    f"it again"
                ) from error
        return datasets.DatasetDict(splits)

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as iterable datasets; each file is a shard."""
        for path in self.paths.values():
            _check_files(path)
        return datasets.IterableDatasetDict({split: self._load(split, streaming=True) for split in self.paths})

    def locate_row(self, split: str, row: int) -> str:
        """Return which file has a row, such as `` (row 3 of b.jsonl)``; nothing if the split is one file."""
        files = sorted(glob(self.paths[split]))
        for file in files if len(files) > 1 else ():
            count = len(self._load(split, path=file))
            if row < count:
                return f" (row {row} of {file})"
            row -= count
        return ""

    def _load(self, split: str, streaming: bool = False, path: str | None = None) -> Any:
        path = path or self.paths[split]
        options = {"sep": "\t"} if ".tsv" in Path(path).suffixes else {}  # only the CSV reader knows this option
        return datasets.load_dataset(
            self.formats[split], data_files={split: path}, split=split, streaming=streaming, **options
        )


class SavedDataset(Source):
    """A folder written by ``save_to_disk``: a `DatasetDict`, or a `Dataset` that becomes the training split.

    Args:
        path: The folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self) -> datasets.DatasetDict:
        """Return the folder's splits.

        Raises:
            FileNotFoundError: If the folder holds no saved dataset.
        """
        if not os.path.isdir(self.path) and "://" not in self.path:
            raise FileNotFoundError(f"{self.path} is no folder; name a folder written by save_to_disk")
        saved = datasets.load_from_disk(self.path)
        return saved if isinstance(saved, datasets.DatasetDict) else datasets.DatasetDict(train=saved)


def _check_files(path: str) -> None:
    """Check the files that a path names, unless they are not on this machine."""
    if "://" in str(path):
        return
    found = glob(path) if "*" in str(path) else [path]
    if not found:
        raise FileNotFoundError(f"no file matches {path}")
    for file in found:
        check_regular_file(file)
        if not os.path.getsize(file):
            raise ValueError(f"{file} is empty (0 bytes); write or download it again")


def _format(path: str) -> str:
    suffixes = [suffix for suffix in Path(path).suffixes if suffix in _FORMATS]
    if not suffixes:
        raise ValueError(f"{path}: the extension is none of {' '.join(_FORMATS)}, so the format is unknown")
    return _FORMATS[suffixes[-1]]


def _broken_json_line(path: str) -> str:
    """Return the first invalid line of a JSON lines file, and why; `datasets` does not name the line."""
    if Path(path.removesuffix(".gz")).suffix in (".jsonl", ".ndjson") and Path(path).is_file():
        for number, line in numbered_lines(path):
            try:
                json.loads(line or "null")
            except ValueError as error:
                return f"line {number}: {error}"
    return ""
