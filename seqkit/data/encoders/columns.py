"""Read Arrow columns of values and of lists; build columns of lists."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray

from seqkit.data.rows.checks import RowError

T = TypeVar("T")


def iter_column(dataset: datasets.Dataset, column: str, read: Callable[[pa.Array], T]) -> Iterator[T]:
    """Yield ``read(values)`` for each piece of a column.

    Raises:
        RowError: As ``read`` does, with the dataset's row.
    """
    first = 0
    for table in dataset.select_columns(column).with_format("arrow").iter(batch_size=1000):
        try:
            result = read(table.column(column).combine_chunks())
        except RowError as error:
            raise error.replace(row=first + error.row) from error
        yield result
        first += len(table)


def is_list_feature(feature: Any) -> bool:
    """Whether a `datasets` feature is a list, of fixed length or not."""
    return isinstance(feature, datasets.List | datasets.LargeList)


def is_text_feature(feature: Any) -> bool:
    """Whether a `datasets` feature is a string."""
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def check_words(feature: Any, encoder: str, reads: str = "lists of words") -> None:
    """Check that a `datasets` feature is that of lists of strings, or of lists without values.

    Raises:
        RowError: If it is another one.
    """
    words = feature.feature if is_list_feature(feature) else None
    if not is_text_feature(words) and getattr(words, "dtype", None) != "null":
        raise RowError(0, f"{encoder} reads {reads}, not {feature}; give such values, or use another encoder")


def check_text(dataset: datasets.Dataset, column: str) -> None:
    """Check that a column of strings is not one of lists that were written as text, as CSV files contain them.

    Raises:
        ValueError: The first strings all read as lists.
    """
    if not is_text_feature(dataset.features[column]):
        return
    found = dataset.select_columns([column]).with_format(None)[:20][column]
    texts = [text for text in found if text is not None]
    if texts and all(map(_is_written_list, texts)):
        raise ValueError(
            f"column {column!r} contains lists written as text, such as {texts[0]!r:.60}, as CSV files do; write "
            f"JSON lines or parquet, or read them with dataset.map and ast.literal_eval; if they are texts, name "
            f"an encoder, such as Characters()"
        )


def _is_written_list(text: str) -> bool:
    if not re.fullmatch(r"\s*\[.*\]\s*", text, re.DOTALL):
        return False
    try:
        return isinstance(ast.literal_eval(text.strip()), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return re.fullmatch(r"\s*\[[\s\d.eE+-]+\]\s*", text) is not None  # as numpy prints arrays


def list_depth(feature: Any) -> int:
    """Return how many lists enclose the values of a `datasets` feature."""
    return 1 + list_depth(feature.feature) if is_list_feature(feature) else 0


def leaf_feature(feature: Any) -> Any:
    """Return the `datasets` feature of the values inside all lists."""
    return leaf_feature(feature.feature) if is_list_feature(feature) else feature


def flatten(values: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the elements of all rows' lists, concatenated, and the length of each list.

    Raises:
        RowError: If a row is null.
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    require_values(values)
    return pc.list_flatten(values), pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)


def unflatten(elements: pa.Array, lengths: NDArray[np.int64]) -> pa.Array:
    """Return lists of the given lengths; the inverse of `flatten`."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.LargeListArray.from_arrays(pa.array(offsets), elements).cast(pa.list_(elements.type))


def sum_segments(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each segment of ``values``; the segments are consecutive and have the given lengths."""
    sums: NDArray[np.int64] = np.diff(np.append(0, np.cumsum(values))[np.append(0, np.cumsum(lengths))])
    return sums


def map_distinct(values: pa.Array, function: Callable[[Any], int], dtype: DTypeLike) -> NDArray[Any]:
    """Return ``function(value)`` for each value; the function is called once for each distinct value."""
    coded = pc.dictionary_encode(values, null_encoding="encode")
    results = np.array([function(value) for value in coded.dictionary.to_pylist()], dtype=dtype)
    mapped: NDArray[Any] = results[coded.indices.to_numpy()]
    return mapped


def require_values(values: pa.Array, lengths: NDArray[np.int64] | None = None) -> None:
    """Check that no value is null.

    Args:
        values: One value per row, or the elements of lists.
        lengths: The lengths of the lists.

    Raises:
        RowError: At the first null.
    """
    if values.null_count:
        position = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        row, where = locate(position, lengths)
        raise RowError(row, f"there is no value (null){where}; fill it in or drop the row")


def locate(position: int, lengths: NDArray[np.int64] | None, unit: str = "position") -> tuple[int, str]:
    """Return the row of a flattened element and its place in the row, as text: `` at position 3``.

    Args:
        position: The element's position in the flattened column.
        lengths: The lengths of the rows' lists; None if rows are no lists, and the text is then empty.
        unit: What the text counts.
    """
    if lengths is None:
        return position, ""
    ends = np.cumsum(lengths)
    row = int(np.searchsorted(ends, position, side="right"))
    return row, f" at {unit} {position - (ends[row] - lengths[row])}"
