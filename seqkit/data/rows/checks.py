"""Checks of rows; each error names the row or column, both values and the remedy."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from seqkit.data.rows.sorted_rows import SortedRows


def check_columns(names: Iterable[str], existing: Collection[str], owner: str = "the dataset") -> None:
    """Check that columns exist.

    Raises:
        ValueError: For the first column that is missing.
    """
    for name in names:
        if name not in existing:
            raise ValueError(f"{owner} has no column {name!r}; it has {', '.join(existing) or 'none'}")


def check_lengths(main: str, lengths: np.ndarray, column: str, others: np.ndarray, rows: np.ndarray) -> None:
    """Check that a column has the lengths (B,) of the main input.

    Raises:
        ValueError: For the first row (B,) that differs.
    """
    for i in np.flatnonzero(lengths != others)[:1]:
        raise ValueError(
            f"row {rows[i]}: {lengths[i]} tokens in column {main!r} but {others[i]} values in {column!r}; "
            f"each token needs one value: correct the row or drop it with dataset.filter"
        )


def check_empty(column: str, lengths: np.ndarray, rows: np.ndarray) -> None:
    """Check that every sequence has a token.

    Raises:
        ValueError: For the first row (B,) without tokens.
    """
    if not lengths.all():
        raise ValueError(
            f"row {rows[lengths.argmin()]}: column {column!r} is an empty sequence, which cannot be packed; drop "
            f'such rows with dataset.filter, or let the sampler do it with empty="drop"'
        )


def check_empty_tokens(column: str, lengths: np.ndarray, sorted_rows: SortedRows, rows: np.ndarray) -> None:
    """Check that every token's inner sequence has a value; lengths are (N,) in packed order.

    Raises:
        ValueError: For the first token whose inner sequence is empty.
    """
    for token in np.flatnonzero(lengths == 0)[:1]:
        row = rows[sorted_rows.order[sorted_rows.ranks[token]]]
        raise ValueError(
            f"row {row}: column {column!r} contains an empty sequence for token {sorted_rows.positions[token]}, "
            f"which cannot be packed; give it at least one value, or drop the row with dataset.filter"
        )


def check_shapes(arrays: Sequence[np.ndarray], column: str, rows: np.ndarray, *, per_token: bool) -> None:
    """Check that all tokens, or all rows, have values of the same shape.

    Raises:
        ValueError: For the first row that differs from the first one.
    """
    shapes = [array.shape[1:] if per_token else array.shape for array in arrays]
    for shape, row in zip(shapes, rows, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"row {row}: column {column!r} has values of shape {shape} but {shapes[0]} in row {rows[0]}; "
                f"every {'token' if per_token else 'row'} needs the same shape"
            )


def null_error(column: str, row: int) -> ValueError:
    """Return the error for a null in a row, at any depth."""
    return ValueError(
        f"row {row}: column {column!r} is null or contains a null; fill it in or drop the row with dataset.filter"
    )


def contains_null(value: Any) -> bool:
    """Whether a value is None or a list, tuple or array that contains None at any depth."""
    return value is None or (isinstance(value, list | tuple | np.ndarray) and any(map(contains_null, value)))
