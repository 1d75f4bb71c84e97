"""Parquet, JSON and CSV files, and folders written by ``save_to_disk``."""

import json
import os
import zlib
from collections.abc import Sequence
from glob import glob
from gzip import BadGzipFile
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from seqkit.data.rows.checks import RowError
from seqkit.data.sources.base import Source, split_paths
from seqkit.data.sources.lines import numbered_lines
from seqkit.data.sources.long_form.groups import Groups, make_groups
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

    Text formats may be compressed (``.jsonl.gz``). A path with a ``*`` names several files. With ``group``, the
    files are tables in long form, one row a step; see :class:`~seqkit.data.Frames`. A CSV file then has one number
    or text a step, and its columns become lists of these.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
        group: The column whose equal values make one sequence, or several such columns. None: each row is a
            sequence.
        order: The column that orders the steps of a sequence: numbers, dates, or dates as text in ISO 8601. Without
            it they are in the file's order.
        per_sequence: Columns with one value a sequence, such as its label.
        vectors: By name of a new column, the columns of numbers that it replaces: each step has the vector of them.
    """

    def __init__(
        self,
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        *,
        group: str | Sequence[str] | None = None,
        order: str | None = None,
        per_sequence: str | Sequence[str] = (),
        vectors: dict[str, list[str]] | None = None,
    ) -> None:
        self.paths = split_paths(train, validation, test)
        self.formats = {split: _format(path) for split, path in self.paths.items()}
        self.groups = make_groups(group, order, per_sequence, vectors)

    def load(self) -> datasets.DatasetDict:
        """Return the splits, as ``datasets.load_dataset`` reads them; with ``group``, one row for each sequence.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a path names a folder, a pipe or a device, or if a file is empty or does not have the
                format of its extension; names the file and what is wrong.
            RowError: A row has no group or no order, two steps of a sequence have the same order, or a column of
                ``per_sequence`` varies within a group; names the file and, of text formats, the line.
        """
        splits = {}
        for split, path in self.paths.items():
            _check_files(path)
            try:
                rows = self._load(split)
            except (DatasetGenerationError, ValueError, StopIteration, EOFError, BadGzipFile, zlib.error) as error:
                reason = _broken_json_line(path) or f"{error.__cause__ or error}".strip() or "the file is empty"
                raise ValueError(
                    f"{path} ({split}) is not readable as {self.formats[split]}: {reason}; correct it, or download "
                    f"it again"
                ) from error
            splits[split] = rows if self.groups is None else self._group(self.groups, split, rows)
        return datasets.DatasetDict(splits)

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as iterable datasets; each file is a shard. With ``group``, they are loaded first."""
        if self.groups is not None:
            return super().stream()
        for path in self.paths.values():
            _check_files(path)
        return datasets.IterableDatasetDict({split: self._load(split, streaming=True) for split in self.paths})

    def locate_row(self, split: str, row: int) -> str:
        """Return which file has a row, such as `` (row 3 of b.jsonl)``; nothing if the split is one file."""
        if len(glob(self.paths[split])) < 2:
            return ""
        file, row, _ = self._find(split, row)
        return f" (row {row} of {file})"

    def _group(self, groups: Groups, split: str, rows: datasets.Dataset) -> datasets.Dataset:
        try:
            return groups.sequences(rows, split)
        except RowError as error:
            file, row, count = self._find(split, error.row)
            line = _line(file, self.formats[split], row, count)
            place = f" ({file})" if line is None else f" (line {line} of {file})"
            raise error.replace(split=split, place=place) from error

    def _find(self, split: str, row: int) -> tuple[str, int, int]:
        """Return the file that has a row of a split, the row's number in it, and how many rows the file has."""
        path = self.paths[split]
        files = sorted(glob(path)) or [path]
        for file in files:
            count = len(self._load(split, path=file))
            if row < count:
                break
            row -= count
        return file, row, count

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


def _line(path: str, kind: str, row: int, count: int) -> int | None:
    """Return the line of a row in a text file of one row a line, without the header; None for other files."""
    if "://" in path or kind == "parquet":
        return None
    numbers = [number for number, line in numbered_lines(path) if line.strip()]
    header = int(kind == "csv")
    return numbers[row + header] if len(numbers) == count + header else None
