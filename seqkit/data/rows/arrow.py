"""Access by number to the values of an Arrow column, wherever in memory its chunks lie."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from seqkit.data.rows.checks import check_columns


class UnsupportedColumnError(TypeError):
    """The values of a column cannot be reached by their addresses; its rows have to be decoded."""


class ArrowColumn:
    """Reads any values of a column by one numpy index, whatever its chunks, without copying or decoding it.

    The chunks (one for each record batch of a memory-mapped file) lie at different addresses. The column is
    seen as the one array of items that begins at the lowest of them and ends with the highest; what lies
    between two chunks belongs to others and is never indexed. A *place* is an item of that array.

    Args:
        column: Numbers or booleans, or lists of them (``list``, ``large_list``, fixed-size), nested to any
            depth as long as the lists inside a row's list are all of one length.

    Attributes:
        is_list: Whether a row holds a sequence of values rather than one value.
        shape: The shape of one value, such as (D,) where a row is a list of vectors.
        stride: Places from one value of a sequence to the next.
        null_rows: Rows of the table with a null inside (of lists: rows that are null as a whole aside).
        ragged_rows: Rows of the table whose inner lists are unlike the first; where there are any, places are
            wrong and nothing must be read.

    Raises:
        UnsupportedColumnError: For any other type, and for buffers whose addresses do not fit the items.
    """

    def __init__(self, column: pa.ChunkedArray):
        leaf = _leaf_type(column.type)
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        parts = [_part(chunk) for chunk in chunks]
        self.is_list = is_list_type(column.type)
        self.shape = next((part.shape for part in parts if part.shape is not None), ())
        self.stride = prod(self.shape)
        self._first_rows = np.cumsum([0, *map(len, chunks)])[:-1]

        self._size = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 1
        self._offsets: np.ndarray | None = None
        if self.is_list and not pa.types.is_fixed_size_list(column.type):
            width = np.int64 if pa.types.is_large_list(column.type) else np.int32
            self._offsets, places = _joined([chunk.buffers()[1] for chunk in chunks], np.dtype(width))
            self._offset_places = places + np.array([chunk.offset for chunk in chunks], dtype=np.int64)

        self._is_bit = pa.types.is_boolean(leaf)
        item = np.dtype(np.uint8 if self._is_bit else leaf.to_pandas_dtype())
        self._items, places = _joined([part.buffer for part in parts], item)
        self._places = places * (8 if self._is_bit else 1) + np.array(
            [part.offset - part.first * self.stride for part in parts], dtype=np.int64
        )

        def in_table(rows: list[np.ndarray]) -> np.ndarray:
            shifted = [first + part for first, part in zip(self._first_rows, rows, strict=True)]
            return np.concatenate([np.empty(0, dtype=np.int64), *shifted])

        self.null_rows = in_table([part.null_rows for part in parts])
        self.ragged_rows = in_table(
            [
                part.ragged_rows if part.shape in (None, self.shape) else np.arange(len(chunk))
                for part, chunk in zip(parts, chunks, strict=True)
            ]
        )

    @property
    def items(self) -> np.ndarray | None:
        """The array of items that places count; None if they are bits."""
        return None if self._is_bit else self._items

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places where rows (B,) of the table begin, and their lengths, (B,) each."""
        chunks: np.ndarray | int = 0
        if len(self._first_rows) > 1:
            chunks = self._first_rows.searchsorted(rows, side="right") - 1
            rows = rows - self._first_rows[chunks]
        if self._offsets is None:
            return self._places[chunks] + rows * (self._size * self.stride), np.full(len(rows), self._size)
        at = self._offset_places[chunks] + rows
        begins = self._offsets.take(at).astype(np.int64)
        return self._places[chunks] + begins * self.stride, self._offsets.take(at + 1) - begins

    def gather(self, places: np.ndarray) -> np.ndarray:
        """The values (N, *shape) that begin at places (N,): a new array of the column's own dtype."""
        if self._is_bit:
            bits = places[:, None] + np.arange(self.stride)
            values = (self._items.take(bits >> 3) >> (bits & 7)) & 1 == 1
        elif self.stride == 1:
            values = self._items.take(places)
        else:
            # The values that begin at each of the items, overlapping; one is copied as a whole.
            itemsize = self._items.itemsize
            every = np.ndarray(
                (max(len(self._items) - self.stride + 1, 0),),
                dtype=np.dtype((np.void, self.stride * itemsize)),
                buffer=self._items,
                strides=(itemsize,),
            )
            values = every[places].view(self._items.dtype)
        shaped: np.ndarray = values.reshape(len(places), *self.shape)
        return shaped


class NestedColumn:
    """Reads the inner lists of a column of lists of lists, such as the characters of each word.

    Args:
        column: Lists of what :class:`ArrowColumn` reads as lists; the inner lists may differ in length.

    Attributes:
        inner: The inner lists of all rows, one after the other.
        null_rows: Rows of the table with a null inside (rows that are null as a whole aside).
    """

    def __init__(self, column: pa.ChunkedArray):
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        windows = [_window(chunk)[0] for chunk in chunks]
        lists = pa.chunked_array(windows, type=column.type.value_type)
        self.inner = ArrowColumn(lists)
        counts = [np.asarray(pc.list_value_length(chunk).fill_null(0), dtype=np.int64) for chunk in chunks]
        self._begins = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
        missing = np.flatnonzero(lists.is_null()) if lists.null_count else np.empty(0, np.int64)
        nulls = np.unique(np.concatenate([missing, self.inner.null_rows]))
        self.null_rows = np.searchsorted(self._begins, nulls, side="right") - 1

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the first inner list of rows (B,) of the table, and how many they have, (B,) each."""
        begins = self._begins[rows]
        return begins, self._begins[rows + 1] - begins


def text_bytes(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of strings, or of lists of strings, as lists of the bytes of their UTF-8, without a copy."""
    return pa.chunked_array([_text_bytes(chunk) for chunk in values.chunks], type=_bytes_type(values.type))


def characters(text: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The characters (Unicode code points, uint32) of strings given one after the other as UTF-8.

    Args:
        text: (bytes,) uint8.
        lengths: (B,) the bytes of each string.

    Returns:
        The characters of all strings, one after the other, and the number in each, (B,).
    """
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum((text & 0xC0) != 0x80)])  # not a continuation byte
    ends = lengths.cumsum()
    return np.frombuffer(text.tobytes().decode().encode("utf-32-le"), np.uint32), first[ends] - first[
        ends - lengths
    ]


def is_text_type(kind: pa.DataType) -> bool:
    """Whether the rows of a column of this type are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _bytes_type(kind: pa.DataType) -> pa.DataType:
    if is_text_type(kind):
        return (pa.large_list if pa.types.is_large_string(kind) else pa.list_)(pa.uint8())
    if isinstance(kind, pa.FixedSizeListType):
        return pa.list_(_bytes_type(kind.value_type), kind.list_size)
    return (pa.large_list if pa.types.is_large_list(kind) else pa.list_)(_bytes_type(kind.value_type))


def _text_bytes(chunk: pa.Array) -> pa.Array:
    own = 1 if isinstance(chunk.type, pa.FixedSizeListType) else 2  # buffers: validity, offsets
    buffers = chunk.buffers()[:own]
    if is_text_type(chunk.type):
        text = chunk.buffers()[2]
        values = pa.Array.from_buffers(pa.uint8(), text.size if text else 0, [None, text])
    else:
        values = _text_bytes(chunk.values)
    return pa.Array.from_buffers(_bytes_type(chunk.type), len(chunk), buffers, -1, chunk.offset, [values])


def table_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    """A column of the table under a dataset: all of its rows, also where the dataset is a view on some.

    Raises:
        ValueError: If the column is missing, or the dataset has a transform, which Arrow knows nothing of.
    """
    check_columns([column], dataset.column_names)
    if dataset.format["type"] == "custom":
        raise ValueError(
            f"column {column!r} passes through a transform (set_transform) on its way out, so a row holds "
            f"other values than Arrow does; apply it with dataset.map, or use a DataLoader with PackCollate"
        )
    values: pa.ChunkedArray = dataset.data.column(column)
    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array([_storage(chunk) for chunk in values.chunks], type=values.type.storage_type)
    return values


class _Part(NamedTuple):
    """One chunk of a column: where its numbers are, and what is wrong with them."""

    buffer: pa.Buffer | None = None  # None if there is nothing to read
    offset: int = 0  # item of the buffer with which the first value begins
    first: int = 0  # number of that value, as the chunk's offsets count
    shape: tuple[int, ...] | None = None  # of one value
    null_rows: np.ndarray = np.empty(0, dtype=np.int64)  # of the chunk
    ragged_rows: np.ndarray = np.empty(0, dtype=np.int64)


def _part(chunk: pa.Array) -> _Part:
    values, first = _window(chunk) if is_list_type(chunk.type) else (chunk, 0)
    shape: list[int] = []
    nulls = _nulls(values)  # numbers of values, counted from the first
    while len(values) and is_list_type(values.type):
        lengths = np.asarray(pc.list_value_length(values).fill_null(0))
        width = int(lengths.max())
        if not width:
            raise UnsupportedColumnError("values without a number")
        ragged = np.flatnonzero(lengths != width) // prod(shape)
        if ragged.size:
            return _Part(null_rows=_rows(chunk, nulls + first), ragged_rows=_rows(chunk, ragged + first))
        shape.append(width)
        values, _ = _window(values)
        nulls = np.append(nulls, _nulls(values) // prod(shape))
    if not len(values):
        return _Part()
    return _Part(values.buffers()[1], values.offset, first, tuple(shape), _rows(chunk, nulls + first))


def _nulls(values: pa.Array) -> np.ndarray:
    return np.flatnonzero(values.is_null()) if values.null_count else np.empty(0, dtype=np.int64)


def _rows(chunk: pa.Array, numbers: np.ndarray) -> np.ndarray:
    """The rows of a chunk to which values belong, by the values' numbers as its offsets count."""
    if pa.types.is_fixed_size_list(chunk.type):
        numbers = numbers // chunk.type.list_size
    elif is_list_type(chunk.type):
        numbers = np.searchsorted(chunk.offsets, numbers, side="right") - 1
    return numbers


def _window(lists: pa.Array) -> tuple[pa.Array, int]:
    """The values in the rows of a list array, and the number of the first as its offsets count (0 without)."""
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size
        return _storage(lists.values.slice(lists.offset * size, len(lists) * size)), 0
    first, end = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return _storage(lists.values.slice(first, end - first)), first


def _joined(buffers: Sequence[pa.Buffer | None], dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """One read-only array over the memory that holds all buffers, and the items with which they begin."""
    present = [buffer for buffer in buffers if buffer is not None and buffer.size]
    if not present:
        return np.empty(0, dtype=dtype), np.zeros(len(buffers), dtype=np.int64)
    begin = min(buffer.address for buffer in present)
    end = max(buffer.address + buffer.size for buffer in present)
    distances = np.array([buffer.address - begin if buffer else 0 for buffer in buffers], dtype=np.int64)
    if begin % dtype.itemsize or (distances % dtype.itemsize).any():  # numpy would copy all of it first
        raise UnsupportedColumnError(f"buffers that are not aligned to {dtype.itemsize} bytes")
    items = (end - begin) // dtype.itemsize
    memory = pa.foreign_buffer(begin, items * dtype.itemsize, base=present)  # keeps the buffers alive
    return np.frombuffer(memory, dtype=dtype), distances // dtype.itemsize


def is_list_type(kind: pa.DataType) -> bool:
    """Whether the rows of a column of this type are sequences."""
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _storage(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values.type, pa.BaseExtensionType) else values


def _leaf_type(kind: pa.DataType) -> pa.DataType:
    while is_list_type(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if is_list_type(kind) else kind.storage_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UnsupportedColumnError(f"values of type {kind}")
    return kind
