"""Checks of rows; each error names the row or column, both values and the remedy."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqkit.data.rows.sorted_rows import SortedRows
from seqkit.options import near


class RowError(ValueError):
    """An error in one row, such as ``train row 12 (column 'form'): there is no value (null) at position 3; …``.

    Args:
        row: The row's number in its column or dataset.
        message: What is wrong, both values and the remedy.
        column: The column's name, if it is known.
        split: The split's name, if it is known.
        place: Text after the row's number, such as `` of the stream``.
    """

    def __init__(
        self, row: int, message: str, column: str | None = None, split: str | None = None, place: str = ""
    ) -> None:
        where = f"{split or ''} row {row}{place}".lstrip()
        super().__init__(f"{where}{'' if column is None else f' (column {column!r})'}: {message}")
        self.row = row
        self.message = message
        self.column = column
        self.split = split
        self.place = place

    def __reduce__(self) -> Any:
        return type(self), (self.row, self.message, self.column, self.split, self.place)

    def replace(self, **changes: Any) -> "RowError":
        """Return the same error with other arguments."""
        known = {name: getattr(self, name) for name in ("row", "message", "column", "split", "place")}
        return type(self)(**(known | changes))


@dataclass(frozen=True)
class SourceRows:
    """Which rows of a source a dataset has, so that errors name rows that can be found in the source.

    Attributes:
        split: Name of the source's split.
        locate: Returns the row's number in that split, given its number in the dataset; None if it is the same.
        place: Text after the row's number.
        locate_file: Returns text about where the source has a row of the split, such as `` (row 3 of b.jsonl)``.
    """

    split: str | None = None
    locate: Callable[[int], int] | None = None
    place: str = ""
    locate_file: Callable[[int], str] | None = None

    @contextmanager
    def name_errors(self) -> Iterator[None]:
        """Let a :class:`RowError` about a row of the dataset name the row of the source."""
        try:
            yield
        except RowError as error:
            row = error.row if self.locate is None else int(self.locate(error.row))
            file = "" if self.locate_file is None else self.locate_file(row)
            raise error.replace(row=row, split=self.split or error.split, place=file + self.place) from error


def check_columns(names: Iterable[str], existing: Collection[str], owner: str = "the dataset") -> None:
    """Check that columns exist.

    Raises:
        ValueError: For the first column that is missing.
    """
    for name in names:
        if name not in existing:
            has = ", ".join(existing) or "none"
            raise ValueError(f"{owner} has no column {name!r}; it has {has}{near(name, existing)}")


def check_lengths(main: str, lengths: np.ndarray, column: str, others: np.ndarray, rows: np.ndarray) -> None:
    """Check that a column has the lengths (B,) of the main input.

    Raises:
        RowError: For the first row (B,) that differs.
    """
    for i in np.flatnonzero(lengths != others)[:1]:
        raise RowError(
            int(rows[i]),
            f"{lengths[i]} tokens in column {main!r} but {others[i]} values in {column!r}; each token needs one "
            f"value: correct the row or drop it with dataset.filter",
        )


def check_empty(column: str, lengths: np.ndarray, rows: np.ndarray) -> None:
    """Check that every sequence has a token.

    Raises:
        RowError: For the first row (B,) without tokens.
    """
    if not lengths.all():
        raise RowError(
            int(rows[lengths.argmin()]),
            "an empty sequence, which cannot be packed; drop such rows with dataset.filter, or let the sampler do "
            'it with empty="drop"',
            column,
        )


def check_empty_tokens(column: str, lengths: np.ndarray, sorted_rows: SortedRows, rows: np.ndarray) -> None:
    """Check that every token's inner sequence has a value; lengths are (N,) in packed order.

    Raises:
        RowError: For the first token whose inner sequence is empty.
    """
    for token in np.flatnonzero(lengths == 0)[:1]:
        row = rows[sorted_rows.order[sorted_rows.ranks[token]]]
        raise RowError(
            int(row),
            f"an empty sequence for token {sorted_rows.positions[token]}, which cannot be packed; give it at least "
            f"one value, or drop the row with dataset.filter",
            column,
        )


def check_shapes(arrays: Sequence[np.ndarray], column: str, rows: np.ndarray, *, per_token: bool) -> None:
    """Check that all tokens, or all rows, have values of the same shape.

    Raises:
        RowError: For the first row that differs from the first one.
    """
    shapes = [array.shape[1:] if per_token else array.shape for array in arrays]
    for shape, row in zip(shapes, rows, strict=True):
        if shape != shapes[0]:
            raise RowError(
                int(row),
                f"values of shape {shape} but {shapes[0]} before; every "
                f"{'token' if per_token else 'row'} needs the same shape",
                column,
            )


def null_error(column: str, row: int) -> RowError:
    """Return the error for a null in a row, at any depth."""
    return RowError(row, "null, or contains a null; fill it in or drop the row with dataset.filter", column)


def surrogate_error(row: int, error: UnicodeEncodeError, column: str | None = None) -> RowError:
    """Return the error for a text that cannot be encoded."""
    return RowError(
        row,
        f"{error.object[error.start]!r} at position {error.start} is half of a character (a lone surrogate); "
        f'replace it, for example with text.encode("utf-8", "replace").decode()',
        column,
    )


def contains_null(value: Any) -> bool:
    """Whether a value is None or a list, tuple or array that contains None at any depth."""
    return value is None or (isinstance(value, list | tuple | np.ndarray) and any(map(contains_null, value)))
