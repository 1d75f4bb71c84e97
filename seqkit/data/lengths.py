"""The lengths of a dataset's sequences, read from Arrow offsets."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from seqkit.data.arrow import is_text, table_column, table_rows
from seqkit.data.collate import null_error


def lengths(dataset: Dataset, column: str, *, text: Literal["characters", "bytes"] = "characters") -> np.ndarray:
    """Counts the tokens of each row without decoding any.

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
    if is_text(values.type):
        counts = pc.utf8_length(values) if text == "characters" else pc.binary_length(values)
    elif isinstance(values.type, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        counts = pc.list_value_length(values)
    else:
        raise ValueError(f"column {column!r} has type {values.type}; only lists and strings have lengths")
    indices = table_rows(dataset)
    if indices is not None:
        counts = counts.take(indices)
    if counts.null_count:
        raise null_error(column, int(np.flatnonzero(counts.is_null().to_numpy())[0]))
    result: np.ndarray = counts.to_numpy().astype(np.int64, copy=False)
    return result
