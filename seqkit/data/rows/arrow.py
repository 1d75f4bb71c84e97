"""Types and values of Arrow columns: lists, strings, and the column under a view of a dataset."""

import numpy as np
import pyarrow as pa
from datasets import Dataset

from seqkit.data.rows.checks import check_columns


def is_list_type(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list, of fixed size or not."""
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def is_text_type(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def storage(values: pa.Array) -> pa.Array:
    """Return the values of an extension array as an array of their storage type."""
    return values.storage if isinstance(values.type, pa.BaseExtensionType) else values


def table_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column of the table under a dataset: all its rows, even if the dataset is a view of some.

    Raises:
        ValueError: If the column is missing, or the dataset has a transform, which is not applied to the table.
    """
    check_columns([column], dataset.column_names)
    if dataset.format["type"] == "custom":
        raise ValueError(
            f"column {column!r} passes through a transform (set_transform), but values are read from the Arrow "
            f"table before it; apply it with dataset.map, or use a DataLoader with PackCollate"
        )
    values: pa.ChunkedArray = dataset.data.column(column)
    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array([storage(chunk) for chunk in values.chunks], type=values.type.storage_type)
    return values


def as_utf8(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of strings, or of lists of strings, as lists of their UTF-8 bytes, without a copy."""
    return pa.chunked_array([_as_utf8(chunk) for chunk in values.chunks], type=_utf8_type(values.type))


def decode_utf8(text: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode concatenated UTF-8 strings.

    Args:
        text: (bytes,) uint8, the strings.
        lengths: (B,) the number of bytes of each string.

    Returns:
        The concatenated code points of all strings, uint32, and the number of code points of each string, (B,).
    """
    is_first = (text & 0xC0) != 0x80  # the other bytes of a character are continuation bytes
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_first)])
    ends = lengths.cumsum()
    code_points = np.frombuffer(text.tobytes().decode().encode("utf-32-le"), np.uint32)
    return code_points, counts[ends] - counts[ends - lengths]


def _utf8_type(kind: pa.DataType) -> pa.DataType:
    if is_text_type(kind):
        return (pa.large_list if pa.types.is_large_string(kind) else pa.list_)(pa.uint8())
    if isinstance(kind, pa.FixedSizeListType):
        return pa.list_(_utf8_type(kind.value_type), kind.list_size)
    return (pa.large_list if pa.types.is_large_list(kind) else pa.list_)(_utf8_type(kind.value_type))


def _as_utf8(chunk: pa.Array) -> pa.Array:
    # A fixed-size list has a validity buffer only; lists and strings also have offsets.
    buffers = chunk.buffers()[: 1 if isinstance(chunk.type, pa.FixedSizeListType) else 2]
    if is_text_type(chunk.type):
        text = chunk.buffers()[2]
        values = pa.Array.from_buffers(pa.uint8(), text.size if text else 0, [None, text])
    else:
        values = _as_utf8(chunk.values)
    return pa.Array.from_buffers(_utf8_type(chunk.type), len(chunk), buffers, -1, chunk.offset, [values])
