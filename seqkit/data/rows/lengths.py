"""The lengths of a dataset's sequences, read from Arrow offsets."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from seqkit.data.rows.arrow import is_list_type, is_text_type, table_column
from seqkit.data.rows.collate import null_error
from seqkit.upstream.datasets import fingerprint, view_indices

_MANY = 1 << 20  # rows; of fewer, counting takes no time


def lengths(dataset: Dataset, column: str, *, text: Literal["characters", "bytes"] = "characters") -> np.ndarray:
    """Counts the tokens of each row without decoding any.

    Of a dataset on disk with a million rows or more, the result is kept beside the dataset's own cache files under
    its fingerprint (where that folder can be written to), and read from there the next time.

    Args:
        dataset: A Hugging Face dataset, in memory or on disk, of any number of chunks, or a view on one
            (``select``, ``shuffle``, ``filter``, ...).
        column: A column of lists (their elements are counted) or of strings.
        text: What is counted of strings: Unicode characters, or bytes of UTF-8.

    Returns:
        (rows,) int64, in the dataset's order.

    Raises:
        ValueError: If the column is missing, is no list and no string, or is null in some row.
    """
    values = table_column(dataset, column)
    if not (is_text_type(values.type) or is_list_type(values.type)):
        raise ValueError(f"column {column!r} has type {values.type}; only lists and strings have lengths")
    kept = _kept(dataset, column, text if is_text_type(values.type) else "tokens")
    if kept is not None and kept.exists():
        found: np.ndarray = np.load(kept, allow_pickle=False)
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
    if kept is not None:
        _keep(result, kept)
    return result


def _kept(dataset: Dataset, column: str, unit: str) -> Path | None:
    """Where the lengths of a large dataset on disk are kept."""
    files = dataset.cache_files
    if len(dataset) < _MANY or not files:
        return None
    name = hashlib.blake2b(f"{fingerprint(dataset)} {column} {unit}".encode(), digest_size=8).hexdigest()
    return Path(files[0]["filename"]).with_name(f"lengths-{name}.npy")


def _keep(numbers: np.ndarray, kept: Path) -> None:
    """Writes beside, then renames: processes that do so at the same time do not disturb each other."""
    try:
        with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=kept.name, delete=False) as beside:
            np.save(beside, numbers, allow_pickle=False)
        os.replace(beside.name, kept)
    except OSError:  # a folder that is not ours to write to
        return
