"""Python values as Arrow arrays; an error names the first value of another type."""

from collections.abc import Iterator, Mapping
from math import isnan
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqkit.data.rows.checks import RowError, surrogate_error


def to_arrow(values: list[Any], column: str | None = None) -> pa.Array:
    """Return values, one per row, as an Arrow array.

    Args:
        values: Numbers, texts, booleans or dates, None, or lists of them to any depth.
        column: The column's name, for errors.

    Raises:
        RowError: A value has another type than those before it or one that Arrow lacks, or a text is invalid.
    """
    try:
        return pa.array(values)
    except UnicodeEncodeError:
        for row, value in enumerate(values):
            try:
                pa.array([value])
            except UnicodeEncodeError as error:
                raise surrogate_error(row, error, column) from error
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _type_error(values, column, error) from error


class _Leaf(NamedTuple):
    """A value that is no list, in any number of lists."""

    row: int
    depth: int
    value: Any

    @property
    def kind(self) -> str:
        if isinstance(self.value, bool | np.bool_):
            return "boolean"
        if isinstance(self.value, Real):
            return "number"
        return "dict" if isinstance(self.value, Mapping) else type(self.value).__name__

    @property
    def is_nan(self) -> bool:
        return self.kind == "number" and isnan(self.value)

    def __str__(self) -> str:
        lists = f" in {self.depth} list{'s' if self.depth > 1 else ''}" if self.depth else ""
        return f"{self.value!r:.60} ({type(self.value).__name__}{lists})"


def _type_error(values: list[Any], column: str | None, error: Exception) -> RowError:
    first: _Leaf | None = None
    for leaf in (leaf for row, value in enumerate(values) for leaf in _leaves(row, 0, value)):
        first = first or leaf
        if (leaf.depth, leaf.kind) == (first.depth, first.kind):
            continue
        if first.is_nan or leaf.is_nan:
            missing, other = (first, leaf) if first.is_nan else (leaf, first)
            remedy = "fill it in (frame.fillna), drop the row, or give None for a missing label"
            return RowError(missing.row, f"NaN (float), but row {other.row} has {other}; {remedy}", column)
        return RowError(leaf.row, f"{leaf}, but row {first.row} has {first}; all values need the same type", column)
    row = 0 if first is None else first.row
    return RowError(row, f"{error}; give numbers, texts, booleans or dates, or lists of them", column)


def _leaves(row: int, depth: int, value: Any) -> Iterator[_Leaf]:
    """Yield the values inside all lists, except None."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        for each in value:
            yield from _leaves(row, depth + 1, each)
    elif value is not None:
        yield _Leaf(row, depth, value)
