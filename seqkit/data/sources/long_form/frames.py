"""Tables in memory, by default with one row a sequence, or in long form with one row a step."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from seqkit.data.rows.checks import SourceRows
from seqkit.data.sources.base import SPLITS, Source
from seqkit.data.sources.in_memory import as_split
from seqkit.data.sources.long_form.groups import make_groups


class Frames(Source):
    """Tables in memory, such as frames of pandas or polars; in long form, one row a step, with ``group``.

    The sequences are in the order in which their groups first occur in the table. The rows of a group need not
    follow each other. Each column of the table becomes one of lists, with a value for each step; those of ``group``
    and ``per_sequence`` have one value for each sequence.

    Args:
        train: The training table; see :func:`~seqkit.data.as_dataset` for its forms.
        validation: The validation table.
        test: The test table.
        group: The column whose equal values make one sequence, or several such columns. None: each row is a
            sequence.
        order: The column that orders the steps of a sequence: numbers, dates, or dates as text in ISO 8601. Without
            it they are in the table's order.
        per_sequence: Columns with one value a sequence, such as its label.
        vectors: By name of a new column, the columns of numbers that it replaces: each step has the vector of them.
            ``{"sensors": ["pressure", "speed"]}`` gives a column ``sensors`` (T, 2).

    Raises:
        TypeError: A table has no rows, or an argument has a wrong type.
        ValueError: No table is given, the columns of a table have different lengths, a column is named for two
            purposes, or an option is given without ``group``.
        RowError: The values of a column have different types.
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        group: str | Sequence[str] | None = None,
        order: str | None = None,
        per_sequence: str | Sequence[str] = (),
        vectors: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        given = dict(zip(SPLITS, (train, validation, test), strict=True))
        self.groups = make_groups(group, order, per_sequence, vectors)
        self.tables: dict[str, datasets.Dataset] = {}
        for split, rows in given.items():
            if rows is not None:
                self.tables[split] = as_split(split, rows)
        if not self.tables:
            raise ValueError("no table given: give at least one of train, validation and test")

    def load(self) -> datasets.DatasetDict:
        """Return the splits: one row for each sequence.

        Raises:
            ValueError: A column is missing.
            RowError: A row of a table has no group or no order, two steps of a sequence have the same order, or a
                column of ``per_sequence`` varies within a group; names the row of the table.
        """
        splits = {}
        for split, table in self.tables.items():
            with SourceRows(split).name_errors():
                splits[split] = table if self.groups is None else self.groups.sequences(table, split)
        return datasets.DatasetDict(splits)

    def per_row(self, split: str, values: Sequence[Any]) -> list[Any]:
        """Return values of the sequences, such as predictions, as one value for each row of the table.

        Args:
            split: The name of the split.
            values: One list or array for each sequence, with a value for each step. Anything else is the value of
                each step of the sequence.

        Raises:
            ValueError: There are more or fewer values than sequences, or than steps of a sequence.
        """
        table = self.tables[split]
        groups = self.groups
        steps = None if groups is None else groups.steps(table.with_format("arrow")[:])
        count = len(table) if steps is None else len(steps.lengths)
        if len(values) != count:
            raise ValueError(f"{len(values)} values for the {count} sequences of {split}; give one for each")
        if groups is None or steps is None:
            return list(values)
        flat: list[Any] = []
        for sequence, (value, length) in enumerate(zip(values, steps.lengths.tolist(), strict=True)):
            is_list = hasattr(value, "__len__") and not isinstance(value, str | bytes | Mapping)
            if is_list and len(value) != length:
                where = groups.locate(self.load()[split], sequence)
                raise ValueError(
                    f"{len(value)} values for the {length} steps of sequence {sequence}{where} of {split}; give "
                    f"one for each step, or a single value for all"
                )
            flat += list(value) if is_list else [value] * length
        found: list[Any] = [None] * len(flat)
        for row, value in zip(steps.rows.tolist(), flat, strict=True):
            found[row] = value
        return found
