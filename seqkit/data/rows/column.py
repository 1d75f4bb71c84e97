"""Random access to the values of an Arrow column, without copying or decoding it."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqkit.data.rows.arrow import is_list_type, storage


class UnsupportedColumnError(TypeError):
    """A column cannot be indexed in memory, so its rows have to be decoded."""


class ArrowColumn:
    """Reads values of a column by one numpy index, for any number of chunks, without copying or decoding it.

    The chunks (one for each record batch of a memory-mapped file) have different addresses. The column is viewed as
    one array of items, from the lowest address of any chunk to the highest. The memory between two chunks belongs
    to other objects and is never indexed.

    Args:
        column: Numbers or booleans, or lists of them (``list``, ``large_list``, fixed-size), nested to any depth if
            all lists inside the rows' lists have the same length.

    Attributes:
        is_list: Whether a row is a sequence of values, not one value.
        shape: The shape of one value, such as (D,) if a row is a list of vectors.
        stride: Number of items from one value of a sequence to the next.
        null_rows: Rows of the table that contain a null. Rows of lists that are null as a whole are not included.
        ragged_rows: Rows of the table whose inner lists differ in length from the first row's. If there are any,
            the column must not be read.

    Raises:
        UnsupportedColumnError: If the column has another type, or its buffers are not aligned to the items.
    """

    def __init__(self, column: pa.ChunkedArray):
        leaf = _leaf_type(column.type)
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        parts = [_inspect_chunk(chunk) for chunk in chunks]
        self.is_list = is_list_type(column.type)
        self.shape = next((part.shape for part in parts if part.shape is not None), ())
        self.stride = prod(self.shape)
        self._first_rows = np.cumsum([0, *map(len, chunks)])[:-1]

        self._list_size = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 1
        self._offsets: np.ndarray | None = None
        if self.is_list and not pa.types.is_fixed_size_list(column.type):
            width = np.int64 if pa.types.is_large_list(column.type) else np.int32
            self._offsets, starts = _view_as_one([chunk.buffers()[1] for chunk in chunks], np.dtype(width))
            self._offset_starts = starts + np.array([chunk.offset for chunk in chunks], dtype=np.int64)

        self._is_bit = pa.types.is_boolean(leaf)
        item = np.dtype(np.uint8 if self._is_bit else leaf.to_pandas_dtype())
        self._items, starts = _view_as_one([part.buffer for part in parts], item)
        # The index of the item that offset 0 of each chunk refers to.
        self._item_starts = starts * (8 if self._is_bit else 1) + np.array(
            [part.offset - part.first * self.stride for part in parts], dtype=np.int64
        )

        def table_rows(chunk_rows: list[np.ndarray]) -> np.ndarray:
            shifted = [first + rows for first, rows in zip(self._first_rows, chunk_rows, strict=True)]
            return np.concatenate([np.empty(0, dtype=np.int64), *shifted])

        self.null_rows = table_rows([part.null_rows for part in parts])
        self.ragged_rows = table_rows(
            [
                part.ragged_rows if part.shape in (None, self.shape) else np.arange(len(chunk))
                for part, chunk in zip(parts, chunks, strict=True)
            ]
        )

    @property
    def items(self) -> np.ndarray | None:
        """The array of items, or None if an item is a bit."""
        return None if self._is_bit else self._items

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of the first item and the length of rows (B,) of the table, (B,) each."""
        chunks: np.ndarray | int = 0
        if len(self._first_rows) > 1:
            chunks = self._first_rows.searchsorted(rows, side="right") - 1
            rows = rows - self._first_rows[chunks]
        if self._offsets is None:
            starts = self._item_starts[chunks] + rows * (self._list_size * self.stride)
            return starts, np.full(len(rows), self._list_size)
        positions = self._offset_starts[chunks] + rows
        offsets = self._offsets.take(positions).astype(np.int64)
        return self._item_starts[chunks] + offsets * self.stride, self._offsets.take(positions + 1) - offsets

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Return the values (N, *shape) that begin at items ``starts`` (N,), as a new array of their own dtype."""
        if self._is_bit:
            bits = starts[:, None] + np.arange(self.stride)
            values = (self._items.take(bits >> 3) >> (bits & 7)) & 1 == 1
        elif self.stride == 1:
            values = self._items.take(starts)
        else:
            # An overlapping view of the values that begin at every item, so that numpy copies each value as a
            # whole.
            itemsize = self._items.itemsize
            overlapping = np.ndarray(
                (max(len(self._items) - self.stride + 1, 0),),
                dtype=np.dtype((np.void, self.stride * itemsize)),
                buffer=self._items,
                strides=(itemsize,),
            )
            values = overlapping[starts].view(self._items.dtype)
        shaped: np.ndarray = values.reshape(len(starts), *self.shape)
        return shaped


class NestedColumn:
    """Locates the inner lists of a column of lists of lists, such as the characters of each word.

    Args:
        column: Lists of lists that :class:`ArrowColumn` supports; the inner lists may differ in length.

    Attributes:
        inner: The inner lists of all rows, concatenated.
        null_rows: Rows of the table that contain a null. Rows that are null as a whole are not included.
    """

    def __init__(self, column: pa.ChunkedArray):
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        lists = pa.chunked_array([_elements(chunk)[0] for chunk in chunks], type=column.type.value_type)
        self.inner = ArrowColumn(lists)
        counts = [np.asarray(pc.list_value_length(chunk).fill_null(0), dtype=np.int64) for chunk in chunks]
        self._starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
        nulls = np.unique(np.concatenate([_null_positions(lists), self.inner.null_rows]))
        self.null_rows = np.searchsorted(self._starts, nulls, side="right") - 1

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of the first inner list and the number of inner lists of rows (B,), (B,) each."""
        starts = self._starts[rows]
        return starts, self._starts[rows + 1] - starts


class _Chunk(NamedTuple):
    """One chunk of a column: where its numbers are, and which of its rows cannot be read."""

    buffer: pa.Buffer | None = None  # None if the chunk has no values
    offset: int = 0  # item of the buffer at which the first value begins
    first: int = 0  # number of the first value, as the chunk's offsets count values
    shape: tuple[int, ...] | None = None  # of one value
    null_rows: np.ndarray = np.empty(0, dtype=np.int64)
    ragged_rows: np.ndarray = np.empty(0, dtype=np.int64)


def _inspect_chunk(chunk: pa.Array) -> _Chunk:
    values, first = _elements(chunk) if is_list_type(chunk.type) else (chunk, 0)
    shape: list[int] = []
    nulls = _null_positions(values)
    while len(values) and is_list_type(values.type):
        lengths = np.asarray(pc.list_value_length(values).fill_null(0))
        width = int(lengths.max())
        if not width:
            raise UnsupportedColumnError("inner lists are empty")
        ragged = np.flatnonzero(lengths != width) // prod(shape)
        if ragged.size:
            return _Chunk(
                null_rows=_rows_of_values(chunk, nulls + first), ragged_rows=_rows_of_values(chunk, ragged + first)
            )
        shape.append(width)
        values, _ = _elements(values)
        nulls = np.append(nulls, _null_positions(values) // prod(shape))
    if not len(values):
        return _Chunk()
    return _Chunk(values.buffers()[1], values.offset, first, tuple(shape), _rows_of_values(chunk, nulls + first))


def _null_positions(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.flatnonzero(values.is_null()) if values.null_count else np.empty(0, dtype=np.int64)


def _rows_of_values(chunk: pa.Array, numbers: np.ndarray) -> np.ndarray:
    """Return the rows of a chunk that contain the values with some numbers, as the chunk's offsets count them."""
    if pa.types.is_fixed_size_list(chunk.type):
        numbers = numbers // chunk.type.list_size
    elif is_list_type(chunk.type):
        numbers = np.searchsorted(chunk.offsets, numbers, side="right") - 1
    return numbers


def _elements(lists: pa.Array) -> tuple[pa.Array, int]:
    """Return the elements of a list array and the number of the first one, as the array's offsets count them."""
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size
        return storage(lists.values.slice(lists.offset * size, len(lists) * size)), 0
    first, end = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return storage(lists.values.slice(first, end - first)), first


def _view_as_one(buffers: Sequence[pa.Buffer | None], dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return one read-only array over the memory that contains all buffers, and each buffer's first index in it."""
    present = [buffer for buffer in buffers if buffer is not None and buffer.size]
    if not present:
        return np.empty(0, dtype=dtype), np.zeros(len(buffers), dtype=np.int64)
    begin = min(buffer.address for buffer in present)
    end = max(buffer.address + buffer.size for buffer in present)
    distances = np.array([buffer.address - begin if buffer else 0 for buffer in buffers], dtype=np.int64)
    if begin % dtype.itemsize or (distances % dtype.itemsize).any():  # numpy would copy the buffer
        raise UnsupportedColumnError(f"buffers are not aligned to {dtype.itemsize} bytes")
    items = (end - begin) // dtype.itemsize
    memory = pa.foreign_buffer(begin, items * dtype.itemsize, base=present)  # keeps the buffers alive
    return np.frombuffer(memory, dtype=dtype), distances // dtype.itemsize


def _leaf_type(kind: pa.DataType) -> pa.DataType:
    while is_list_type(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if is_list_type(kind) else kind.storage_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UnsupportedColumnError(f"values have type {kind}")
    return kind
