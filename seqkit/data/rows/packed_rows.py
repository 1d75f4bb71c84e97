"""Rows of a dataset to a packed batch, straight from its Arrow buffers."""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import Any, Literal, NamedTuple

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset

from seqkit.batch import Batch
from seqkit.data.rows.arrow import (
    ArrowColumn,
    NestedColumn,
    UnsupportedColumnError,
    characters,
    is_list_type,
    is_text_type,
    table_column,
    text_bytes,
)
from seqkit.data.rows.collate import (
    PackCollate,
    SortedRows,
    check_empty,
    check_empty_tokens,
    check_lengths,
    to_tensor,
)
from seqkit.data.rows.gather import gather
from seqkit.data.rows.lengths import lengths as column_lengths
from seqkit.upstream.datasets import view_indices


class RaggedRows(Dataset[Batch]):
    """A Hugging Face dataset whose items are packed batches: ``rows[[5, 2, 9]]`` is a Batch of three rows.

    The values are gathered from the (memory-mapped) Arrow buffers by one index that all columns share, in
    packed order: no object is made of a row or a token, nothing is padded, and of the dataset only the rows
    asked for are read. The batch equals that of :class:`~seqkit.data.PackCollate` on the same rows bit for bit,
    dtypes included. Columns that cannot be read so are decoded and collated, with the same result.

    It pickles as cheaply as the dataset does, so that workers may be forked or spawned. An item being a whole
    batch, the loader is told to make none::

        DataLoader(RaggedRows(dataset, ["tokens"], ["tags"]), sampler=sampler, batch_size=None)

    Args:
        dataset: In memory or on disk, or a view on one; its format is of no account.
        inputs: Columns with one sequence a row, (T,) or (T, D), or a string; the first one is the main one.
        targets: Columns with one value a row, or with one for each token of the main input.
        sequence_targets: Columns with a vector a row, all of one length.
        nested: Which of the inputs and targets hold a sequence for each token; see
            :class:`~seqkit.data.PackCollate`.
        unaligned: Which of them hold a sequence whose length is its own.
        text: What a string is a sequence of: ``"characters"`` or ``"bytes"`` (of UTF-8).
        max_length: Cut each sequence to its first ``max_length`` tokens.

    Raises:
        ValueError: For a missing column, columns of different lengths in some row, a null, inner lists of
            different lengths, values that are not numbers, a transform. When a row is asked for: if it is an
            empty sequence.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        inputs: Sequence[str],
        targets: Sequence[str] = (),
        *,
        sequence_targets: Sequence[str] = (),
        nested: Sequence[str] = (),
        unaligned: Sequence[str] = (),
        text: Literal["characters", "bytes"] = "characters",
        max_length: int | None = None,
    ):
        self._collate = PackCollate(
            inputs,
            targets,
            sequence_targets=sequence_targets,
            nested=nested,
            unaligned=unaligned,
            text=text,
            max_length=max_length,
        )
        names = [*self._collate.inputs, *self._collate.targets, *self._collate.sequence_targets]
        for name in names:
            table_column(dataset, name)  # refuses what cannot be read
        self.dataset = dataset.select_columns(list(dict.fromkeys(names))).with_format(None)
        self._open()
        self._check()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: int | Sequence[int]) -> Batch:
        """The batch of some rows, in any order, repeats allowed; of none, a batch without sequences."""
        numbers = np.atleast_1d(np.asarray(rows, dtype=np.int64))  # (B,)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(self)):
            row = next(row for row in numbers if not 0 <= row < len(self))
            raise IndexError(f"row {row} is out of range: the dataset has {len(self)} rows")
        if not numbers.size:  # what any row holds tells dtypes and shapes
            if not self.lengths.any():
                raise ValueError("a batch of no rows has no dtype here: the dataset has no row with a token")
            return _emptied(self[int(self.lengths.argmax())])
        return self._gathered(numbers) if self._in_reach else self._decoded(numbers)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,) int64, after the cut."""
        return self._cut(self._lengths(self._collate.inputs[0]))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "_collate": self._collate,
        }  # addresses mean nothing to another process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._texts: set[str] = set()  # columns whose bytes are to be read as characters
        try:
            self._columns = {name: self._column(name) for name in self.dataset.column_names}
        except UnsupportedColumnError:
            self._columns = {}
        flat = [column for column in self._columns.values() if isinstance(column, ArrowColumn)]
        self._in_reach = bool(self._columns) and not any(column.ragged_rows.size for column in flat)
        indices = view_indices(self.dataset)
        self._table_rows = None if indices is None else ArrowColumn(indices)

    def _column(self, name: str) -> ArrowColumn | NestedColumn:
        values = table_column(self.dataset, name)
        nested = name in self._collate.nested and is_list_type(values.type)
        sequence = nested or name in (*self._collate.inputs, *self._collate.unaligned)
        if sequence and is_text_type(values.type.value_type if nested else values.type):
            values = text_bytes(values)
            if self._collate.text == "characters":
                self._texts.add(name)
        if not nested:
            return ArrowColumn(values)
        column = NestedColumn(values)
        if column.inner.ragged_rows.size:
            raise UnsupportedColumnError("inner values of different shapes")
        return column

    def _lengths(self, name: str) -> np.ndarray:
        return column_lengths(self.dataset, name, text=self._collate.text)

    def _check(self) -> None:
        """Finds what is wrong with any row now, not in mid-epoch; collating that row words the error."""
        main, *others = self._collate.inputs
        lengths = self._lengths(main)
        others += [name for name in self._collate.targets if self._is_sequence(name)]
        for name in others:
            own = self._lengths(name)
            if name not in self._collate.unaligned:
                check_lengths(main, lengths, name, own, np.arange(len(self)))
        if not lengths.any():
            return

        sound = int(np.argmax(lengths > 0))  # a row to compare with
        suspects = [self._shown(column.null_rows) for column in self._columns.values()]
        flat = [column for column in self._columns.values() if isinstance(column, ArrowColumn)]
        suspects += [self._shown(column.ragged_rows) for column in flat]
        for name in filter(self._is_list, self._collate.sequence_targets):
            widths = self._lengths(name)
            suspects.append(np.flatnonzero(widths != widths[sound]))
        if not self._columns:
            suspects.append(np.array([sound]))
        for rows in suspects:
            for row in rows[lengths[rows] > 0][:1]:
                self._decoded(np.array([sound, row]))

    def _is_sequence(self, name: str) -> bool:
        return self._is_list(name) or name in self._collate.unaligned

    def _is_list(self, name: str) -> bool:
        return is_list_type(table_column(self.dataset, name).type)

    def _shown(self, table_rows: np.ndarray) -> np.ndarray:
        """The rows of the dataset that show some rows of its table."""
        if self._table_rows is None or not table_rows.size:
            return table_rows
        return np.flatnonzero(np.isin(self._rows_in_table(np.arange(len(self))), table_rows))

    def _rows_in_table(self, rows: np.ndarray) -> np.ndarray:
        if self._table_rows is None:
            return rows
        places, _ = self._table_rows.locate(rows)
        return self._table_rows.gather(places).astype(np.int64)

    def _cut(self, lengths: np.ndarray) -> np.ndarray:
        limit = self._collate.max_length
        return lengths if limit is None else np.minimum(lengths, limit)

    def _gathered(self, rows: np.ndarray) -> Batch:
        main = self._collate.inputs[0]
        table_rows = self._rows_in_table(rows)
        first = self._read(main, self._columns[main], table_rows)
        check_empty(main, first.lengths, rows)
        sorted_rows = SortedRows(self._cut(first.lengths))

        def packed(name: str) -> PackedSequence:
            column = self._columns[name]
            if isinstance(column, NestedColumn):
                tokens = sorted_rows.index(column.locate(table_rows)[0])  # (N,) inner lists, in packed order
                inner = self._read(name, column.inner, tokens)
                check_empty_tokens(name, inner.lengths, sorted_rows, rows)
                return inner.packed_apart(name)
            if name in self._collate.unaligned:
                own = self._read(name, column, table_rows[sorted_rows.order])
                check_empty(name, own.lengths, rows[sorted_rows.order])
                return own.packed_apart(name)
            own = first if name == main else self._read(name, column, table_rows)
            return sorted_rows.packed(own.values(sorted_rows, name))

        def stacked(name: str) -> Tensor:
            column = self._columns[name]
            assert isinstance(column, ArrowColumn)
            begins, widths = column.locate(table_rows[sorted_rows.order])  # (B,)
            if not column.is_list:
                return to_tensor(column.gather(begins), name)
            places = begins[:, None] + np.arange(widths[0]) * column.stride  # (B, C)
            return to_tensor(column.gather(places.ravel()).reshape(*places.shape, *column.shape), name)

        targets = {
            name: packed(name) if self._is_sequence(name) else stacked(name) for name in self._collate.targets
        }
        return Batch(
            rows=torch.from_numpy(rows[sorted_rows.order]),
            inputs={name: packed(name) for name in self._collate.inputs},
            targets=targets | {name: stacked(name) for name in self._collate.sequence_targets},
        )

    def _read(self, name: str, column: ArrowColumn | NestedColumn, rows: np.ndarray) -> "_Sequences":
        assert isinstance(column, ArrowColumn)
        begins, lengths = column.locate(rows)
        if name not in self._texts:
            return _Sequences(begins, lengths, column.items, column.shape, column.gather)
        ends = lengths.cumsum()
        places = np.arange(lengths.sum()) + np.repeat(begins - (ends - lengths), lengths)
        values, lengths = characters(column.gather(places), lengths)
        return _Sequences(lengths.cumsum() - lengths, lengths, values, (), values.take)

    def _decoded(self, rows: np.ndarray) -> Batch:
        return self._collate.collate(self.dataset[rows.tolist()], rows)


class _Sequences(NamedTuple):
    """Where the values of some sequences begin, how many there are, and how they are had."""

    begins: np.ndarray  # (B,) places
    lengths: np.ndarray  # (B,)
    items: np.ndarray | None  # that places count; None if they are bits
    shape: tuple[int, ...]  # of one value
    gather: Callable[[np.ndarray], np.ndarray]

    def values(self, sorted_rows: SortedRows, name: str) -> Tensor:
        """The values, (N, *shape) in packed order."""
        width = prod(self.shape)
        found = None
        if self.items is not None and width > 1:
            found = gather(self.items, self.begins[sorted_rows.order], sorted_rows.batch_sizes.numpy(), width)
        if found is None:
            found = self.gather(sorted_rows.index(self.begins, width))
        return to_tensor(found.reshape(len(found), *self.shape), name)

    def packed_apart(self, name: str) -> PackedSequence:
        """Packed with a permutation of their own."""
        sorted_rows = SortedRows(self.lengths)
        return sorted_rows.packed_apart(self.values(sorted_rows, name))


def _emptied(batch: Batch) -> Batch:
    """A batch of the same columns, dtypes and shapes without sequences."""

    def emptied(values: PackedSequence | Tensor) -> Any:
        if isinstance(values, PackedSequence):
            order = values.sorted_indices
            none = None if order is None else order[:0]
            return PackedSequence(values.data[:0], values.batch_sizes[:0], none, none)
        return values[:0]

    return Batch(
        rows=batch.rows[:0],
        inputs={name: emptied(values) for name, values in batch.inputs.items()},
        targets={name: emptied(values) for name, values in batch.targets.items()},
    )
