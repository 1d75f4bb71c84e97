"""Make sequences of the rows of a table in long form: one row a step, and a column that says whose step it is."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqkit.data.cache_files import rows_key
from seqkit.data.code_key import code_key
from seqkit.data.encoders.columns import require_values, unflatten
from seqkit.data.rows.arrow import is_text_type
from seqkit.data.rows.checks import RowError, check_columns
from seqkit.options import instance, names

Ints = NDArray[np.int64]


class Steps(NamedTuple):
    """Where the steps of the sequences are in a table.

    Attributes:
        rows: (N,) the table's row of each step, sequence after sequence.
        lengths: (sequences,) the number of steps of each sequence.
    """

    rows: Ints
    lengths: Ints

    @property
    def firsts(self) -> Ints:
        """(sequences,) the table's row of each sequence's first step."""
        firsts: Ints = self.rows[np.cumsum(self.lengths) - self.lengths]
        return firsts


class Groups:
    """How the rows of a table become sequences, in the order in which the groups first occur.

    Args:
        group: The column whose equal values make one sequence, or several such columns.
        order: The column that orders the steps of a sequence: numbers, dates, or dates as text in ISO 8601. Without
            it they are in the table's order.
        per_sequence: Columns with one value a sequence. Those of ``group`` always are; of the others, each row's
            value belongs to its step.
        vectors: By name of a new column, the columns of numbers that it replaces: each step has the vector of them.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: A column is named for two purposes, or the others are given without ``group``.
    """

    def __init__(
        self,
        group: str | Sequence[str],
        order: str | None = None,
        per_sequence: str | Sequence[str] = (),
        vectors: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.group = names("group", group, least=1)
        self.order = instance("order", order, str)
        self.per_sequence = names("per_sequence", per_sequence)
        instance("vectors", vectors, Mapping)
        self.vectors = {name: names(f"vectors[{name!r}]", of, least=1) for name, of in (vectors or {}).items()}
        members = list(dict.fromkeys(name for of in self.vectors.values() for name in of))
        order_columns = [self.order] if self.order else []
        purposes = {
            "group": self.group,
            "order": order_columns,
            "per_sequence": self.per_sequence,
            "vectors": members,
        }
        used: dict[str, str] = {}
        for purpose, columns in purposes.items():
            for name in columns:
                if name in used:
                    raise ValueError(f"{name!r} is in {used[name]} and in {purpose}; leave it out of one of them")
                used[name] = purpose

    def sequences(self, rows: datasets.Dataset, split: str) -> datasets.Dataset:
        """Return one row for each sequence; `datasets` caches them on disk if the table is on disk.

        Args:
            rows: The table.
            split: The name of the split, for errors.

        Raises:
            ValueError: A column is missing, or a new column has the name of another.
            RowError: A row has no group or no order, two steps of a sequence have the same order, or a column of
                ``per_sequence`` varies within a group. The row is that of the table.
        """
        members = [name for of in self.vectors.values() for name in of]
        wanted = [*self.group, *([self.order] if self.order else []), *self.per_sequence, *members]
        check_columns(wanted, rows.column_names, split)
        for name in self.vectors:
            if name in rows.column_names and name not in members:
                raise ValueError(
                    f"{split} has a column {name!r}; give the vectors of {self.vectors[name]} a new name"
                )
        features = self._features(rows.features)
        if not len(rows):  # map() would call nothing and keep the old columns
            return datasets.Dataset.from_dict({name: [] for name in features}, features)
        options = [self.group, self.order, self.per_sequence, self.vectors]
        if not rows.cache_files:
            table = self.group_table(rows.with_format("arrow")[:])
            return datasets.Dataset(table.cast(features.arrow_schema), info=datasets.DatasetInfo(features=features))
        grouped = rows.with_format("arrow").map(
            _group_table,
            batched=True,
            batch_size=None,
            remove_columns=rows.column_names,
            features=features,
            fn_kwargs={"options": json.dumps(options), "key": [rows_key(rows), code_key(__name__)]},
            desc=f"grouping {split}",
        )
        return grouped.with_format(None)

    def locate(self, rows: datasets.Dataset, row: int) -> str:
        """Return which group a row of the sequences is, such as `` (engine=7)``."""
        return f" ({self._describe(rows.with_format(None)[row])})"

    def steps(self, table: pa.Table) -> Steps:
        """Sort the rows of a table by group and order; rows of equal group stay in their order without one.

        Raises:
            RowError: See :meth:`sequences`.
        """
        codes = np.zeros(len(table), np.int64)
        for name in self.group:
            values = _keys(table, name)
            own = values.dictionary_encode()
            both = codes * len(own.dictionary) + own.indices.to_numpy()
            codes = pa.array(both).dictionary_encode().indices.to_numpy().astype(np.int64)  # by first occurrence
        if self.order is None:
            return Steps(codes.argsort(kind="stable"), np.bincount(codes))
        order = _sort_keys(table, self.order)
        index = np.lexsort((order, codes))
        same = (np.diff(codes[index]) == 0) & (order[index][1:] == order[index][:-1])
        for step in np.flatnonzero(same)[:1]:
            row, before = int(index[step + 1]), int(index[step])
            raise RowError(
                row,
                f"{self._group_of(table, row)} has {table.column(self.order)[row].as_py()!r} in row {before}, too; "
                f"drop one of the two rows, or name a further column in group",
                self.order,
            )
        return Steps(index, np.bincount(codes))

    def group_table(self, table: pa.Table) -> pa.Table:
        """Return the table of sequences; see :meth:`sequences`."""
        steps = self.steps(table)
        members = {name for of in self.vectors.values() for name in of}
        columns: dict[str, Any] = {}
        for name in table.column_names:
            if name in members:
                continue
            values = table.column(name).combine_chunks()
            if name in self.per_sequence:
                self._check_constant(table, name, steps)
            if name in (*self.group, *self.per_sequence):
                columns[name] = values.take(pa.array(steps.firsts))
            else:
                columns[name] = unflatten(values.take(pa.array(steps.rows)), steps.lengths)
        for name, of in self.vectors.items():
            numbers = np.stack([_numbers(table, member) for member in of], axis=1)[steps.rows]
            if all(pa.types.is_float32(table.column(member).type) for member in of):
                numbers = numbers.astype(np.float32)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), len(of))
            columns[name] = unflatten(vectors, steps.lengths)
        return pa.table(columns)

    def _features(self, features: datasets.Features) -> datasets.Features:
        members = {name for of in self.vectors.values() for name in of}
        grouped = {
            name: feature if name in (*self.group, *self.per_sequence) else datasets.List(feature)
            for name, feature in features.items()
            if name not in members
        }
        for name, of in self.vectors.items():
            is_single = all(getattr(features[member], "dtype", None) == "float32" for member in of)
            number = datasets.Value("float32" if is_single else "float64")
            grouped[name] = datasets.List(datasets.List(number, length=len(of)))
        return datasets.Features(grouped)

    def _describe(self, row: Mapping[str, Any]) -> str:
        return ", ".join(f"{name}={row[name]!r}" for name in self.group)

    def _group_of(self, table: pa.Table, row: int) -> str:
        return self._describe({name: table.column(name)[row].as_py() for name in self.group})

    def _check_constant(self, table: pa.Table, name: str, steps: Steps) -> None:
        values = table.column(name).combine_chunks()
        codes = _codes(values)
        firsts = steps.firsts.repeat(steps.lengths)
        for step in np.flatnonzero(codes[steps.rows] != codes[firsts])[:1]:
            row, first = int(steps.rows[step]), int(firsts[step])
            raise RowError(
                row,
                f"{self._group_of(table, row)} has {values[row].as_py()!r:.60} here but "
                f"{values[first].as_py()!r:.60} in row {first}; a column in per_sequence has one value for each "
                f"group: correct it, or leave it out of per_sequence to read a value for each step",
                name,
            )


def make_groups(
    group: str | Sequence[str] | None,
    order: str | None,
    per_sequence: str | Sequence[str],
    vectors: Mapping[str, Sequence[str]] | None,
) -> Groups | None:
    """Return how rows become sequences, or None without a group: each row then is a sequence.

    Raises:
        ValueError: Other options are given without ``group``; see also :class:`Groups`.
    """
    if group is not None:
        return Groups(group, order, per_sequence, vectors)
    for option, value in (("order", order), ("per_sequence", per_sequence), ("vectors", vectors)):
        if value:
            raise ValueError(
                f"{option}={value!r} needs group: name the column whose equal values make one sequence"
            )
    return None


def _group_table(table: pa.Table, *, options: str, key: Sequence[str]) -> pa.Table:  # noqa: ARG001
    """Group a table; `datasets` hashes the arguments to find a cached result."""
    return Groups(*json.loads(options)).group_table(table)


def _keys(table: pa.Table, name: str) -> pa.Array:
    """Return a column without missing values."""
    values = table.column(name).combine_chunks()
    try:
        require_values(values)
    except RowError as error:
        raise error.replace(column=name) from error
    if pa.types.is_floating(values.type):
        for row in np.flatnonzero(np.isnan(values.to_numpy()))[:1]:
            raise RowError(int(row), "NaN is a missing value; fill it in or drop the row", name)
    if pa.types.is_nested(values.type):
        raise RowError(0, f"{values[0].as_py()!r:.60} is no single value; name another column", name)
    return values


def _sort_keys(table: pa.Table, name: str) -> NDArray[Any]:
    """Return numbers (N,) that are in the order of a column's values."""
    values = _keys(table, name)
    if is_text_type(values.type):
        values = _dates(values, name)
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("ms"))
    elif pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise RowError(
            0, f"{values[0].as_py()!r:.60} ({kind}) gives no order; name a column of numbers or dates", name
        )
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int32() if values.type.bit_width == 32 else pa.int64())
    numbers: NDArray[Any] = values.to_numpy()
    return numbers


def _dates(values: pa.Array, name: str) -> pa.Array:
    """Read texts as dates, all without a time zone or all with one."""
    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    for row, text in enumerate(values.to_pylist()):
        try:
            pa.array([text]).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            remedy = "give numbers, dates, or texts such as 2024-01-31 and 2024-01-31 09:30:00"
            raise RowError(
                row, f"the text {text!r:.60} gives no order ('10' is before '9'); {remedy}", name
            ) from None
    raise RowError(0, f"{values[0].as_py()!r:.60}: some dates have a time zone; give all of them one", name)


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of numbers as floats (N,)."""
    values = table.column(name).combine_chunks()
    if not (
        pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)
    ):
        # One word in a CSV file makes texts of all numbers in its column.
        row = next((row for row, value in enumerate(values.to_pylist()) if not _is_number(value)), 0)
        raise RowError(
            row, f"{values[row].as_py()!r:.60} ({values.type}) is no number; vectors consist of numbers", name
        )
    try:
        require_values(values)
    except RowError as error:
        raise error.replace(column=name) from error
    numbers: NDArray[Any] = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _codes(values: pa.Array) -> NDArray[Any]:
    """Return numbers (N,) that are equal where values are."""
    if pa.types.is_nested(values.type):
        values = pa.array([repr(value) for value in values.to_pylist()])
    codes: NDArray[Any] = values.dictionary_encode(null_encoding="encode").indices.to_numpy()
    return codes
