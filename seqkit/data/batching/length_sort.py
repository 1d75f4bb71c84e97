"""Sort rows by length in linear time and little memory; check, drop or cut over-long and empty rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.plan import Histogram
from seqkit.data.rows.checks import RowError
from seqkit.options import choice

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]

OVERLONG = ("raise", "drop", "truncate", "solo")
EMPTY = ("raise", "drop")

_CHUNK = 1 << 21  # rows sorted at once: limits the memory allocated besides the result
_DENSE = 1 << 22  # lengths below it are counted in a table


@dataclass(frozen=True)
class Policy:
    """How over-long and empty rows are treated.

    Attributes:
        max_tokens: Length above which a row is over-long; None for no limit.
        overlong: Raise, drop the row, count it as cut to ``max_tokens``, or keep it for a batch of its own.
        empty: Raise or drop a row of length 0.
    """

    max_tokens: int | None
    overlong: Literal["raise", "drop", "truncate", "solo"]
    empty: Literal["raise", "drop"]

    def __post_init__(self) -> None:
        choice("overlong", self.overlong, OVERLONG)
        choice("empty", self.empty, EMPTY)

    def check(self, first: int, lengths: Ints) -> None:
        """Raise RowError if the policy refuses a row; rows are counted from ``first``."""
        if lengths.min() < 0:
            row = int(np.argmax(lengths < 0))
            raise RowError(first + row, f"length {lengths[row]} is negative")
        if self.empty == "raise" and lengths.min() == 0:
            row = int(np.argmax(lengths == 0))
            raise RowError(first + row, 'length 0, nothing to pack; remove it or pass empty="drop"')
        if self.overlong == "raise" and self.max_tokens is not None and lengths.max() > self.max_tokens:
            row = int(np.argmax(lengths > self.max_tokens))
            raise RowError(
                first + row,
                f"{lengths[row]} tokens, but max_tokens={self.max_tokens}; raise max_tokens or pass "
                'overlong="drop", "truncate" (the dataset must cut the row) or "solo" (a batch of its own)',
            )

    def admit(self, lengths: Ints) -> tuple[Ints | None, Ints]:
        """Return the indices of the rows that are kept (None for all) and the lengths that count for them."""
        kept = None
        if lengths.min() == 0 or (self.overlong == "drop" and self._overlong(lengths).any()):
            drop = self._overlong(lengths) if self.overlong == "drop" else False
            kept = np.flatnonzero((lengths > 0) & ~np.asarray(drop))
            lengths = lengths[kept]
        if self.overlong == "truncate" and self.max_tokens is not None:
            lengths = np.minimum(lengths, self.max_tokens)
        return kept, lengths

    def _overlong(self, lengths: Ints) -> npt.NDArray[np.bool_]:
        return lengths > (np.iinfo(np.int64).max if self.max_tokens is None else self.max_tokens)


def sort_by_length(lengths: npt.ArrayLike, policy: Policy) -> tuple[Rows, Histogram, dict[str, int]]:
    """Sort rows by length, longest first and rows of equal length ascending, by a counting sort in chunks.

    Args:
        lengths: (rows,) integers; a memory map is read twice and never copied as a whole.
        policy: For over-long and empty rows.

    Returns:
        The rows that are kept, (kept,) uint32 if they fit it; the histogram of their lengths; the number of
        dropped rows by reason.

    Raises:
        TypeError: The lengths are not integers.
        ValueError: There are no lengths, they are not one-dimensional, negative or all 0, or the policy refuses a
            row.
    """
    array = np.asarray(lengths)
    if array.ndim != 1:
        raise ValueError(f"lengths of shape {array.shape}: one number a row is needed, shape (rows,)")
    if array.size == 0:
        raise ValueError("no rows: the dataset is empty")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"lengths of type {array.dtype}: integers are needed, the number of tokens of each row")
    if not array.any():
        raise ValueError(f"all {array.size} rows have length 0: nothing to pack; is this the right column?")
    dropped = {"overlong": 0, "empty": 0}
    for first, chunk in _chunks(array):
        policy.check(first, chunk)
        dropped["empty"] += int((chunk == 0).sum())
        if policy.overlong == "drop":
            dropped["overlong"] += int(policy._overlong(chunk).sum())

    values, counts = _count(array, policy)
    if not values.size:
        raise ValueError(
            f"none of {array.size} rows is left: {dropped['overlong']} over-long, {dropped['empty']} empty"
        )
    histogram = Histogram.from_counts(values[::-1], counts[::-1])
    sorted_rows: Rows = np.empty(histogram.num_rows, np.uint32 if array.size <= 1 << 32 else np.uint64)
    code = np.uint16 if values.size <= 1 << 16 else np.uint32  # numpy sorts 16 bits by radix
    table = None
    if values[-1] < _DENSE:
        table = np.zeros(int(values[-1]) + 1, code)
        table[values] = np.arange(values.size)[::-1]
    free = histogram.starts[:-1].copy()  # next free position of each length
    for first, chunk in _chunks(array):
        kept, chunk = policy.admit(chunk)
        codes = (values.size - 1 - np.searchsorted(values, chunk)).astype(code) if table is None else table[chunk]
        sort = np.argsort(codes, kind="stable")
        count = np.bincount(codes, minlength=values.size)
        position = np.repeat(free - (np.cumsum(count) - count), count) + np.arange(sort.size)
        sorted_rows[position] = first + (sort if kept is None else kept[sort])
        free += count
    return sorted_rows, histogram, dropped


def _chunks(array: npt.NDArray[Any]) -> Iterator[tuple[int, Ints]]:
    for first in range(0, array.size, _CHUNK):
        yield first, array[first : first + _CHUNK].astype(np.int64, copy=False)


def _count(array: npt.NDArray[Any], policy: Policy) -> tuple[Ints, Ints]:
    """Return the different lengths of the rows that are kept, ascending, and how many rows have each."""
    table = np.zeros(0, np.int64)
    values, counts = [], []
    for _, chunk in _chunks(array):
        _, chunk = policy.admit(chunk)
        if chunk.size and chunk.max() < _DENSE:
            count = np.bincount(chunk, minlength=table.size)
            count[: table.size] += table
            table = count
        else:
            value, count = np.unique(chunk, return_counts=True)
            values.append(value)
            counts.append(count)
    values.append(np.flatnonzero(table))
    counts.append(table[values[-1]])
    value, inverse = np.unique(np.concatenate(values), return_inverse=True)
    return value, np.bincount(inverse, np.concatenate(counts), value.size).astype(np.int64)
