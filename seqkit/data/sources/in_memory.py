"""Rows in memory as a dataset: lists, dicts of columns, frames of pandas and polars, Arrow tables, numpy arrays."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch

from seqkit.data.encoders.columns import unflatten
from seqkit.data.rows.checks import RowError
from seqkit.data.rows.values import to_arrow

VALUES = "values"  # the column of a list of values, which have no name

_NUMBERS = "biuf"  # kinds of numpy's dtypes


def as_dataset(rows: Any, features: datasets.Features | None = None) -> datasets.Dataset:
    """Return rows that are in memory as a dataset, with its rows in the same order.

    Args:
        rows: A list of dicts with the same keys; a dict of columns, each with one value a row; a frame of pandas
            (without its index) or polars; an Arrow table; or a list of values, which become the column ``values``.
            A value is a number, a text, a boolean or a date, a list of such values to any depth, or a numpy array
            or tensor of shape (T,) or (T, D). None is a missing value, and so is NaN in a pandas column of its
            string type. A dataset is returned unchanged.
        features: The types of the columns, which the values are converted to; by default those of the values. A
            list of values becomes the only column of it.

    Raises:
        TypeError: There are no rows in such an object, or a column has a type that `datasets` lacks.
        ValueError: There are no rows or columns, two columns have one name, or columns have different lengths.
        RowError: The values of a column have different types, or arrays do not differ in length only.
    """
    if isinstance(rows, datasets.Dataset):
        return rows if features is None else rows.cast(features)
    if features is not None and isinstance(rows, Sequence) and not len(rows):
        return datasets.Dataset.from_dict({name: [] for name in features}, features=features)
    dataset = datasets.Dataset(as_table(rows, features))
    return dataset if features is None else dataset.cast(features)


def as_table(rows: Any, features: datasets.Features | None = None) -> pa.Table:
    """Return rows that are in memory as an Arrow table, without the hash of all values by which a dataset is known.

    Args:
        rows: What :func:`as_dataset` takes, and no dataset; it raises the same errors.
        features: The names of the columns; the values are not converted.
    """
    pairs = _named_columns(rows, features)
    _check_names([name for name, _ in pairs])
    columns = {name: _supported(name, _column(name, values)) for name, values in pairs}
    first, *others = columns
    for name in others:
        if len(columns[name]) != len(columns[first]):
            raise ValueError(
                f"column {name!r} has {len(columns[name])} values but column {first!r} has {len(columns[first])}; "
                f"each row needs one value in each column: correct the columns, or give a list of rows"
            )
    metadata = rows.schema.metadata if isinstance(rows, pa.Table) else None  # features of `datasets`
    return pa.table(columns, metadata=metadata)


def as_split(split: str, rows: Any) -> datasets.Dataset:
    """Return the rows of a split as a dataset, as :func:`as_dataset` does; errors name the split."""
    try:
        return as_dataset(rows)
    except RowError as error:
        raise error.replace(split=split) from error
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{split}: {error}") from error


def is_frame(rows: Any) -> bool:
    """Whether an object is a frame of pandas or polars, or an Arrow table."""
    return isinstance(rows, pa.Table) or _is(rows, "pandas", "DataFrame") or _is(rows, "polars", "DataFrame")


def is_lazy_frame(rows: Any) -> bool:
    """Whether an object is a query of polars, which has no rows yet."""
    return _is(rows, "polars", "LazyFrame")


def _is(value: Any, library: str, name: str) -> bool:
    """Whether a value is an object of a library's class; if the library is not imported, it is none."""
    found = getattr(sys.modules.get(library), name, None)
    return found is not None and isinstance(value, found)


def _named_columns(rows: Any, features: datasets.Features | None) -> list[tuple[Any, Any]]:
    """Return each column's name and values."""
    if is_lazy_frame(rows):
        raise TypeError("a LazyFrame has no rows yet; call its collect()")
    if isinstance(rows, pa.Table):
        return list(zip(rows.column_names, rows.columns, strict=True))
    if _is(rows, "polars", "DataFrame"):
        return [(name, rows[name]) for name in rows.columns]
    if _is(rows, "pandas", "DataFrame"):
        return [(name, rows.iloc[:, number]) for number, name in enumerate(rows.columns)]
    if isinstance(rows, Mapping):
        return list(rows.items())
    if not _is_sequence(rows):
        raise TypeError(
            f"an object of type {type(rows).__name__} has no rows to load; give a list of dicts, a dict of "
            f"columns, a frame of pandas or polars, an Arrow table, or a list of numpy arrays"
        )
    if not len(rows):
        raise ValueError("there are no rows, so their columns are unknown; give at least one row")
    if isinstance(rows[0], Mapping):
        return _transpose(rows)
    only = list(features) if features is not None and len(features) == 1 else [VALUES]
    return [(only[0], rows)]


def _transpose(rows: Sequence[Mapping[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    """Return the columns of a list of dicts."""
    names = list(rows[0])
    known = set(names)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise RowError(number, f"{row!r:.60} ({type(row).__name__}), but row 0 is a dict; give a dict a row")
        if row.keys() != known:
            missing = [name for name in names if name not in row]
            what = f"no {missing[0]!r}" if missing else f"{next(iter(row.keys() - known))!r}"
            remedy = "give None for a missing value" if missing else "leave it out, or give it in every row"
            raise RowError(number, f"has {what}, but row 0 has {', '.join(map(repr, names))}; {remedy}")
    return [(name, [row[name] for row in rows]) for name in names]


def _check_names(names: Sequence[Any]) -> None:
    if not names:
        raise ValueError("there are no columns; give at least one")
    for name, count in Counter(names).items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"column {name!r} has no text as its name; rename it")
        if count > 1:
            raise ValueError(f"{count} columns have the name {name!r}; rename them, or drop all but one")


def _is_sequence(values: Any) -> bool:
    is_array = isinstance(values, np.ndarray | torch.Tensor) and values.ndim > 0
    return is_array or (isinstance(values, Sequence) and not isinstance(values, str | bytes))


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Return the values of a column, one a row, as Arrow values."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if _is(values, "polars", "Series"):
        has_objects = values.dtype == sys.modules["polars"].Object
        return _column(name, values.to_list()) if has_objects else values.to_arrow()
    if _is(values, "pandas", "Series"):
        # NaN in a column of floats is a value, as in numpy; in pandas' own types it is a missing value.
        own_type = not isinstance(values.dtype, np.dtype)
        return _from_buffer(name, values) if own_type else _column(name, values.to_numpy())
    if not _is_sequence(values):
        raise TypeError(
            f"column {name!r} is {values!r:.60} ({type(values).__name__}); give a list or an array with one value "
            f"a row, or put a single row into a list: [row]"
        )
    if isinstance(values, torch.Tensor):
        values = list(values.unbind()) if values.is_nested else _to_numpy(values)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind not in "OSUV":
        return _from_buffer(name, values)
    cells = list(values)
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, np.ndarray | torch.Tensor):
        return _from_arrays(name, cells)
    return to_arrow(cells, name)


def _from_buffer(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Return a numpy array, or a pandas series of one of its own types, as Arrow values."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unsupported(name, values.dtype) from error


def _supported(name: str, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return values of a type that `datasets` has: categories become their names."""
    kind = _plain_type(values.type)
    try:
        datasets.Features.from_arrow_schema(pa.schema({name: kind}))
        return values if kind == values.type else values.cast(kind)
    except (pa.ArrowException, TypeError, ValueError, KeyError) as error:
        raise _unsupported(name, values.type) from error


def _unsupported(name: str, kind: Any) -> TypeError:
    return TypeError(
        f"column {name!r} has values of type {kind}, which a dataset cannot hold; convert it to numbers, texts, "
        f"booleans or dates, or leave the column out"
    )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return an Arrow type without dictionaries and views."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if isinstance(kind, pa.FixedSizeListType):
        return pa.list_(_plain_type(kind.value_type), kind.list_size)
    if isinstance(kind, pa.ListType | pa.LargeListType):
        plain = _plain_type(kind.value_type)
        return pa.list_(plain) if isinstance(kind, pa.ListType) else pa.large_list(plain)
    return kind


def _to_numpy(values: Any) -> Any:
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()


def _from_arrays(name: str, cells: Iterable[Any]) -> pa.Array:
    """Return arrays (T,) or (T, D), one a row, as Arrow lists of numbers, or of lists of D numbers."""
    arrays = [_to_numpy(cell) for cell in cells]
    if all(isinstance(array, np.ndarray) and array.ndim == 0 for array in arrays):
        return to_arrow([array.item() for array in arrays], name)
    first: np.ndarray | None = None
    for row, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            found = f"{array!r:.60} ({type(array).__name__}), but other rows have arrays"
            raise RowError(row, f"{found}; all values need the same type", name)
        if array.ndim not in (1, 2) or 0 in array.shape[1:]:
            raise RowError(row, f"an array of shape {array.shape}; give (T,) or (T, D): reshape it", name)
        first = array if first is None else first
        if array.shape[1:] != first.shape[1:]:
            wanted = "(T,)" if first.ndim == 1 else f"(T, {first.shape[1]})"
            raise RowError(
                row, f"an array of shape {array.shape}, but row 0 has {first.shape}; every row needs {wanted}", name
            )
        kinds = {array.dtype.kind, first.dtype.kind}
        if len(kinds) > 1 and not kinds <= set("iuf"):
            raise RowError(
                row,
                f"an array of {array.dtype}, but row 0 has one of {first.dtype}; convert it with astype",
                name,
            )
    assert first is not None
    if first.dtype.kind not in _NUMBERS:
        return to_arrow([array.tolist() for array in arrays], name)
    numbers = np.concatenate(arrays)
    if numbers.dtype == np.float16:
        numbers = numbers.astype(np.float32)
    elements = _from_buffer(name, numbers.ravel())
    if first.ndim == 2:
        elements = pa.FixedSizeListArray.from_arrays(elements, first.shape[1])
    return unflatten(elements, np.array([len(array) for array in arrays], dtype=np.int64))
