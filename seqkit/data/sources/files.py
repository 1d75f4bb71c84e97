"""Parquet, JSON and CSV files by their extension, and folders that ``save_to_disk`` wrote."""

import json
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError

from seqkit.data.sources.base import Source, named_splits
from seqkit.data.sources.lines import numbered_lines

_READERS = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
}


class Files(Source):
    """Rows from parquet, JSON (lines, or one list of objects) and CSV files; the extension says which.

    Text formats may be compressed (``.jsonl.gz``). A ``*`` in a path stands for several files.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
    """

    def __init__(self, train: str | None = None, validation: str | None = None, test: str | None = None) -> None:
        self.paths = named_splits(train, validation, test)
        self.readers = {split: _reader(path) for split, path in self.paths.items()}

    def load(self) -> datasets.DatasetDict:
        """Return the splits, as ``datasets.load_dataset`` reads them.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file cannot be read as its extension says; names the file and what is wrong with it.
        """
        splits = {}
        for split, path in self.paths.items():
            # Tabs are the CSV reader's only option here; other formats do not know it.
            options = {"sep": "\t"} if ".tsv" in Path(path).suffixes else {}
            try:
                splits[split] = datasets.load_dataset(
                    self.readers[split], data_files={split: path}, split=split, **options
                )
            except (DatasetGenerationError, ValueError, StopIteration) as error:
                reason = _broken_line(path) or f"{error.__cause__ or error}".strip() or "the file is empty"
                reader = self.readers[split]
                raise ValueError(f"{path} ({split}) is not readable as {reader}: {reason}") from error
        return datasets.DatasetDict(splits)

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as streams; each file is a shard."""
        splits = {}
        for split, path in self.paths.items():
            options = {"sep": "\t"} if ".tsv" in Path(path).suffixes else {}
            splits[split] = datasets.load_dataset(
                self.readers[split], data_files={split: path}, split=split, streaming=True, **options
            )
        return datasets.IterableDatasetDict(splits)


class SavedDataset(Source):
    """The `DatasetDict` (or the `Dataset`, taken as training split) that ``save_to_disk`` wrote into a folder.

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
        saved = datasets.load_from_disk(self.path)
        return saved if isinstance(saved, datasets.DatasetDict) else datasets.DatasetDict(train=saved)


def _reader(path: str) -> str:
    suffixes = [suffix for suffix in Path(path).suffixes if suffix in _READERS]
    if not suffixes:
        raise ValueError(f"{path}: the extension is none of {' '.join(_READERS)}, so the format is unknown")
    return _READERS[suffixes[-1]]


def _broken_line(path: str) -> str:
    """Return the first line of a JSON lines file that is no JSON, and why; the library does not say where."""
    if Path(path.removesuffix(".gz")).suffix in (".jsonl", ".ndjson") and Path(path).is_file():
        for number, line in numbered_lines(path):
            try:
                json.loads(line or "null")
            except ValueError as error:
                return f"line {number}: {error}"
    return ""
