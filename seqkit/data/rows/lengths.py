"""The lengths of a dataset's sequences, read from Arrow offsets."""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from seqkit.data.cache_files import rows_key
from seqkit.data.code_key import code_key
from seqkit.data.rows.arrow import is_list_type, is_text_type, table_column
from seqkit.data.rows.checks import null_error
from seqkit.files import atomic_write
from seqkit.upstream.datasets import view_indices

_MIN_CACHED_ROWS = 1 << 20  # counting fewer rows takes no noticeable time


def lengths(dataset: Dataset, column: str, *, text: Literal["characters", "bytes"] = "characters") -> np.ndarray:
    """Count the tokens of each row without decoding any.

    The lengths of a dataset on disk with a million rows or more are cached in the folder of the dataset's cache
    files, under its fingerprint, if that folder is writable.

    Args:
        dataset: A Hugging Face dataset, in memory or on disk, in any number of chunks, or a view of one
            (``select``, ``shuffle``, ``filter``, ...).
        column: A column of lists, whose elements are counted, or of strings.
        text: The unit in which strings are counted: Unicode characters, or bytes of UTF-8.

    Returns:
        (rows,) int64, in the dataset's order.

    Raises:
        ValueError: If the column is missing, is null in a row, or contains neither lists nor strings.
    """
    values = table_column(dataset, column)
    if not (is_text_type(values.type) or is_list_type(values.type)):
        raise ValueError(
            f"column {column!r} has type {values.type}; only lists and strings have lengths: use another column"
        )
    cached = _cache_file(dataset, column, text if is_text_type(values.type) else "tokens")
    if cached is not None and cached.exists():
        found: np.ndarray = np.load(cached, allow_pickle=False)
        return found
    if is_list_type(values.type):
        counts = pc.list_value_length(values)
    else:
        counts = pc.utf8_length(values) if text == "characters" else pc.binary_length(values)
    numbers = counts.to_numpy() if not counts.null_count else np.asarray(counts.fill_null(-1))
    indices = view_indices(dataset)
    if indices is not None:
        numbers = numbers[indices.to_numpy()]
    if counts.null_count and (numbers < 0).any():
        raise null_error(column, int(np.argmax(numbers < 0)))
    result: np.ndarray = numbers.astype(np.int64, copy=False)
    if cached is not None:
        _save(result, cached)
    return result


def _cache_file(dataset: Dataset, column: str, unit: str) -> Path | None:
    """Return the file for the lengths of a large dataset on disk, or None for any other dataset."""
    files = dataset.cache_files
    if len(dataset) < _MIN_CACHED_ROWS or not files:
        return None
    key = repr((rows_key(dataset), column, unit, code_key(__name__)))
    name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return Path(files[0]["filename"]).with_name(f"lengths-{name}.npy")


def _save(numbers: np.ndarray, file: Path) -> None:
    try:
        with atomic_write(file) as temporary:
            np.save(temporary, numbers, allow_pickle=False)
    except OSError:  # the folder is not writable
        return
