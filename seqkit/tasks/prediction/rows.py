"""What may be given as rows to predict, read and encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from numbers import Number
from operator import add
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.data.encoders import UNSEEN, TableEncoder, Words, input_depth, input_encoder
from seqkit.data.rows.arrow import is_list_type, is_text_type
from seqkit.data.rows.checks import RowError, SourceRows, check_columns
from seqkit.data.sources.in_memory import as_table, is_frame, is_lazy_frame
from seqkit.data.unseen import add_unseen
from seqkit.options import near

_PART = 10_000  # rows that are encoded together
_STREAM_PART = 1000  # rows of a stream that are read, encoded and predicted together

_Table = tuple[pa.Table, datasets.Features | None]


class Given(NamedTuple):
    """Rows as they were given.

    Attributes:
        parts: Tables of encoded inputs, in the order of the rows. They are read when they are needed.
        num_rows: The number of rows; None for a stream.
        is_single: Whether it is one row alone, not a container of rows.
    """

    parts: Iterator[pa.Table]
    num_rows: int | None
    is_single: bool


class RowReader:
    """Read rows in any form, and encode a model's inputs.

    Args:
        spec: The model's data spec.

    Attributes:
        columns: The columns that the inputs read.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        # A label that training lacks is left out of an input, as the data module does.
        sets = {name: [UNSEEN] for name, entry in spec["inputs"].items() if entry["kind"] == "multilabel"}
        self._encode = TableEncoder(add_unseen(spec, sets), with_targets=False)
        self.columns = self._encode.columns
        self._main = self.columns[0]
        self._depths: dict[str, int] = {}
        self._leaves: dict[str, pa.DataType] = {}
        self._word_lists: set[str] = set()
        for name, entry in spec["inputs"].items():
            column = entry.get("column", name)
            self._depths.setdefault(column, input_depth(spec, name))
            self._leaves[column] = pa.float64() if entry["kind"] == "features" else pa.string()
            if entry.get("depth") and isinstance(input_encoder(spec, name), Words):
                self._word_lists.add(column)

    def read(self, rows: Any) -> Given:
        """Read rows.

        Args:
            rows: A list of dicts, or of values if the inputs read a single column; one such row alone; a dict of
                columns; a dataset; a frame of pandas or polars; an arrow table; a stream, that is an
                ``IterableDataset`` or any other iterable of such rows.

        Raises:
            TypeError: It is something else.
            ValueError: A column is missing, or columns have different lengths. While the parts are read: a value
                cannot be encoded; names row and column.
        """
        if isinstance(rows, datasets.DatasetDict | datasets.IterableDatasetDict):
            raise TypeError(f"rows has the splits {', '.join(map(str, rows))}; give one of them, rows[NAME]")
        if isinstance(rows, datasets.Dataset):
            return self._dataset(rows)
        if isinstance(rows, datasets.IterableDataset):
            return Given(self._encoded(self._stream_tables(rows)), None, False)
        if is_frame(rows):
            names = getattr(rows, "column_names", None) or list(rows.columns)
            check_columns(self.columns, names, "rows")
            chosen = rows.select(self.columns) if isinstance(rows, pa.Table) else rows[self.columns]
            return self._table(as_table(chosen))
        if isinstance(rows, Mapping):
            return self._mapping(rows)
        _check_container(rows)
        if self._is_row(rows):
            # Arrow reads lists and arrays, but neither ranges nor series of a frame.
            values = None if isinstance(rows, str | Tensor | np.ndarray) else _as_list(rows)
            return self._listed([rows if values is None else values], is_single=True)
        listed = _as_list(rows)
        if listed is not None:
            return self._listed(listed, is_single=False)
        if isinstance(rows, Iterable):
            return Given(self._encoded(self._iterated_tables(iter(rows))), None, False)
        raise _no_rows(rows)

    def _mapping(self, rows: Mapping[Any, Any]) -> Given:
        check_columns(self.columns, rows, "rows")
        main = rows[self._main]
        if self._is_row(main) or self._is_empty_row(main):
            return self._listed([rows], is_single=True)
        return self._table(as_table({column: rows[column] for column in self.columns}))

    def _listed(self, rows: Sequence[Any], *, is_single: bool) -> Given:
        if not rows:
            return Given(iter(()), 0, is_single)
        return self._table(as_table(self._columns_of(rows)), is_single=is_single)

    def _table(self, table: pa.Table, *, is_single: bool = False) -> Given:
        return Given(self._encoded(_slices(table)), len(table), is_single)

    def _dataset(self, dataset: datasets.Dataset) -> Given:
        check_columns(self.columns, dataset.column_names, "rows")
        if dataset.format["type"] == "custom":
            raise ValueError(
                "rows has a transform (set_transform), but values are read from the table before it; apply it "
                "with dataset.map"
            )
        return Given(self._encoded(self._dataset_tables(dataset)), len(dataset), False)

    def _dataset_tables(self, dataset: datasets.Dataset) -> Iterator[_Table]:
        rows = dataset.with_format("arrow", columns=self.columns)
        for first in range(0, len(dataset), _PART):
            yield rows[first : first + _PART], dataset.features

    def _stream_tables(self, stream: datasets.IterableDataset) -> Iterator[_Table]:
        if stream.column_names is not None:
            check_columns(self.columns, stream.column_names, "rows")
            stream = stream.select_columns(self.columns)
        for table in stream.with_format("arrow").iter(batch_size=_STREAM_PART):
            check_columns(self.columns, table.column_names, "rows")
            yield table, stream.features

    def _iterated_tables(self, rows: Iterator[Any]) -> Iterator[_Table]:
        first = 0
        while part := list(islice(rows, _STREAM_PART)):
            with SourceRows(None, partial(add, first)).name_errors():
                table = as_table(self._columns_of(part))
            yield table, None
            first += len(part)

    def _encoded(self, tables: Iterator[_Table]) -> Iterator[pa.Table]:
        first = 0
        for table, features in tables:
            self._check_lists(table, first)
            yield self._encode(*self._with_types(table, features), first)
            first += len(table)

    def _check_lists(self, table: pa.Table, first: int) -> None:
        """Check that a column of lists of words in training is one now: texts would be split into other words."""
        for column in self._word_lists:
            values = table.column(column)
            if is_text_type(values.type) and len(values) > values.null_count:
                row = next(row for row, value in enumerate(values) if value.is_valid)
                raise RowError(
                    first + row,
                    f"{values[row].as_py()!r:.60} is a text, but rows were lists of words in training; split it as "
                    f"those were, for example by text.split()",
                    column,
                )

    def _columns_of(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """Return the columns of rows that are dicts, or values of the only column.

        Raises:
            RowError: A row is no dict, or lacks a column.
            ValueError: There are several columns, and the rows are no dicts.
        """
        if isinstance(next((row for row in rows if row is not None), None), Mapping):
            for number, row in enumerate(rows):
                if not isinstance(row, Mapping):
                    raise RowError(number, f"a {type(row).__name__}, but other rows are dicts; give all as dicts")
                for column in self.columns:
                    if column not in row:
                        has = ", ".join(map(str, row)) or "none"
                        raise RowError(number, f"there is no column {column!r}, only {has}{near(column, row)}")
            return {column: [row[column] for row in rows] for column in self.columns}
        if len(self.columns) > 1:
            raise ValueError(
                f"the model reads the columns {', '.join(self.columns)}, so each row must be a dict with these keys"
            )
        return {self._main: list(rows)}

    def _is_row(self, value: Any) -> bool:
        """Whether a value of the main column is that of one row, not a container of the values of several."""
        depth = _depth(value)
        return depth is not None and depth <= self._depths[self._main]

    def _is_empty_row(self, value: Any) -> bool:
        """Whether lists without any value are those of one row.

        They could be a column without rows, or with empty ones, too; but then nothing would say that this row has
        no result.
        """
        if _depth(value) is not None or _as_list(value) is None:
            return False
        # A step of a series has channels, so the lists in an empty series are no steps.
        most = (
            min(self._depths[self._main], 1)
            if self._leaves[self._main] == pa.float64()
            else self._depths[self._main]
        )
        return _levels(value) <= most

    def _with_types(self, table: pa.Table, features: datasets.Features | None) -> _Table:
        """Give columns without any value the type that their encoder reads: Arrow cannot infer it from them."""
        for number, column in enumerate(table.column_names):
            depth, leaf = 0, table.schema.field(column).type
            while is_list_type(leaf):
                depth, leaf = depth + 1, leaf.value_type
            if pa.types.is_null(leaf) and column in self._depths:
                kind = self._leaves[column]
                for _ in range(max(depth, self._depths[column])):
                    kind = pa.list_(kind)
                table = table.set_column(number, column, table.column(column).cast(kind))
                own = datasets.Features.from_arrow_schema(pa.schema({column: kind}))
                features = None if features is None else datasets.Features({**features, **own})
        return table, features


def _check_container(rows: Any) -> None:
    """Check that an object may be rows or a row.

    Raises:
        TypeError: It is a value alone, or it holds no raw values, or has no order.
    """
    if is_lazy_frame(rows):
        raise TypeError("rows is a LazyFrame, which has no rows yet; call its collect()")
    if isinstance(rows, PackedSequence):
        raise TypeError(
            "rows is a PackedSequence, so it is encoded already; give rows as they were before encoding, or call "
            "the model with a dict of inputs"
        )
    if isinstance(rows, set | frozenset):
        raise TypeError(f"rows is a {type(rows).__name__}, which has no order; give a list")
    if isinstance(rows, bytes | bytearray | Number) or getattr(rows, "ndim", None) == 0:
        raise _no_rows(rows)


def _no_rows(rows: Any) -> TypeError:
    return TypeError(
        f"rows is a {type(rows).__name__}; give a list of rows, a dict of columns, a dataset, a frame or an "
        f"iterable of rows"
    )


def _slices(table: pa.Table) -> Iterator[_Table]:
    for first in range(0, len(table), _PART):
        yield table.slice(first, _PART), None


def _as_list(values: Any) -> list[Any] | None:
    """Return the elements of a container in memory as a list; None for anything else."""
    if isinstance(values, list):
        return values
    if isinstance(values, Tensor | np.ndarray):
        return list(values) if values.ndim else None
    for method in ("to_pylist", "to_list"):  # arrays of pyarrow, series of pandas and polars
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else None


def _depth(value: Any) -> int | None:
    """Return how many lists or axes of arrays enclose the first value in them; None if there is no value."""
    if value is None:
        return None
    if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype != np.object_):
        return int(value.ndim)
    inner = _as_list(value)
    if inner is None:  # a value, or a dict or an iterator, which are no values
        return None if isinstance(value, Iterable) and not isinstance(value, str | bytes) else 0
    found = next((depth for each in inner if (depth := _depth(each)) is not None), None)
    return None if found is None else 1 + found


def _levels(value: Any) -> int:
    """Return how many lists are nested in lists without any value."""
    inner = _as_list(value)
    return 0 if inner is None else 1 + max(map(_levels, inner), default=0)
