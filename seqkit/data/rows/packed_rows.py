"""Packed batches of a dataset's rows, gathered straight from its Arrow buffers."""

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
from seqkit.data.rows.arrow import as_utf8, decode_utf8, is_list_type, is_text_type, table_column
from seqkit.data.rows.checks import SourceRows, check_empty, check_empty_tokens, check_lengths
from seqkit.data.rows.collate import PackCollate
from seqkit.data.rows.column import ArrowColumn, NestedColumn, UnsupportedColumnError
from seqkit.data.rows.convert import to_tensor
from seqkit.data.rows.gather import gather
from seqkit.data.rows.lengths import lengths as column_lengths
from seqkit.data.rows.sorted_rows import SortedRows
from seqkit.upstream.datasets import view_indices


class RaggedRows(Dataset[Batch]):
    """A Hugging Face dataset whose items are packed batches: ``rows[[5, 2, 9]]`` is a Batch of three rows.

    Values are gathered from the (memory-mapped) Arrow buffers by one index that all columns share, in packed order.
    No Python object is made of a row or a token, nothing is padded, and only the requested rows are read. The batch
    equals that of :class:`~seqkit.data.PackCollate` on the same rows bit for bit, including dtypes. Columns that
    cannot be gathered are decoded and collated, with the same result.

    Pickling costs as little as pickling the dataset, so workers can be forked or spawned. An item is a whole batch,
    so the loader must not batch items::

        DataLoader(RaggedRows(dataset, ["tokens"], ["tags"]), sampler=sampler, batch_size=None)

    Args:
        dataset: A dataset in memory or on disk, or a view of one, in any format.
        inputs: Columns with one sequence per row, (T,) or (T, D), or a string. The first is the main input.
        targets: Columns with one value per row, or with one per token of the main input.
        sequence_targets: Columns with one vector per row, all of the same length.
        nested: Inputs and targets with a sequence for each token; see :class:`~seqkit.data.PackCollate`.
        unaligned: Inputs and targets with a sequence whose length is its own.
        text: The elements of a string: ``"characters"`` or ``"bytes"`` (of UTF-8).
        max_length: The number of tokens to keep of each sequence; None keeps all.
        source: Which rows of a source the dataset's rows are, for errors.

    Raises:
        ValueError: If a column is missing or has a transform, if columns have different lengths in a row, or if
            values are null, not numbers or not of one shape. Also when a row with an empty sequence is requested.
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
        source: SourceRows = SourceRows(),  # noqa: B008 (it cannot be changed)
    ):
        self.source = source
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
            table_column(dataset, name)  # raises if it cannot be read
        chosen = list(dict.fromkeys(names))
        if dataset.column_names != chosen or dataset.format["type"] is not None:  # to select takes milliseconds
            dataset = dataset.select_columns(chosen).with_format(None)
        self.dataset = dataset
        self._open_columns()
        with source.name_errors():
            self._check_rows()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: int | Sequence[int]) -> Batch:
        """Return the batch of some rows, in any order and with repetitions.

        Without rows, return a batch without sequences.
        """
        numbers = np.atleast_1d(np.asarray(rows, dtype=np.int64))  # (B,)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(self)):
            row = next(row for row in numbers if not 0 <= row < len(self))
            raise IndexError(f"row {row} is out of range: the dataset has {len(self)} rows")
        if not numbers.size:
            if not self.lengths.any():
                raise ValueError(
                    "a batch of no rows needs a dtype, but the dataset has no row with a token; add one"
                )
            return _without_rows(self[int(self.lengths.argmax())])
        with self.source.name_errors():
            return self._gather(numbers) if self._can_gather else self._decode(numbers)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(rows,) int64, the number of tokens of each row, at most ``max_length``."""
        return self._truncate(self._lengths(self._collate.inputs[0]))

    def __getstate__(self) -> dict[str, Any]:
        # Without the columns, whose addresses are invalid in another process.
        return {"dataset": self.dataset, "_collate": self._collate, "source": self.source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open_columns()

    def _open_columns(self) -> None:
        self._text_columns: set[str] = set()  # columns of bytes to decode as characters
        try:
            self._columns = {name: self._open_column(name) for name in self.dataset.column_names}
        except UnsupportedColumnError:
            self._columns = {}
        flat = [column for column in self._columns.values() if isinstance(column, ArrowColumn)]
        self._can_gather = bool(self._columns) and not any(column.ragged_rows.size for column in flat)
        indices = view_indices(self.dataset)
        self._view = None if indices is None else ArrowColumn(indices)

    def _open_column(self, name: str) -> ArrowColumn | NestedColumn:
        values = table_column(self.dataset, name)
        nested = name in self._collate.nested and is_list_type(values.type)
        sequence = nested or name in (*self._collate.inputs, *self._collate.unaligned)
        if sequence and is_text_type(values.type.value_type if nested else values.type):
            values = as_utf8(values)
            if self._collate.text == "characters":
                self._text_columns.add(name)
        if not nested:
            return ArrowColumn(values)
        column = NestedColumn(values)
        if column.inner.ragged_rows.size:
            raise UnsupportedColumnError("inner lists have values of different shapes")
        return column

    def _lengths(self, name: str) -> np.ndarray:
        return column_lengths(self.dataset, name, text=self._collate.text)

    def _check_rows(self) -> None:
        """Raise the errors of all rows now, not in the middle of an epoch.

        Rows that may be wrong are collated, so that PackCollate raises the error.
        """
        main, *others = self._collate.inputs
        lengths = self._lengths(main)
        others += [name for name in self._collate.targets if self._is_sequence(name)]
        for name in others:
            own = self._lengths(name)
            if name not in self._collate.unaligned:
                check_lengths(main, lengths, name, own, np.arange(len(self)))
        if not lengths.any():
            return

        reference = int(np.argmax(lengths > 0))  # a row with tokens, to compare with
        suspects = [self._dataset_rows(column.null_rows) for column in self._columns.values()]
        flat = [column for column in self._columns.values() if isinstance(column, ArrowColumn)]
        suspects += [self._dataset_rows(column.ragged_rows) for column in flat]
        for name in filter(self._is_list, self._collate.sequence_targets):
            widths = self._lengths(name)
            suspects.append(np.flatnonzero(widths != widths[reference]))
        if not self._columns:
            suspects.append(np.array([reference]))
        for rows in suspects:
            for row in rows[lengths[rows] > 0][:1]:
                self._decode(np.array([reference, row]))

    def _is_sequence(self, name: str) -> bool:
        return self._is_list(name) or name in self._collate.unaligned

    def _is_list(self, name: str) -> bool:
        return is_list_type(table_column(self.dataset, name).type)

    def _dataset_rows(self, table_rows: np.ndarray) -> np.ndarray:
        """Return the rows of the dataset that are some rows of its table."""
        if self._view is None or not table_rows.size:
            return table_rows
        return np.flatnonzero(np.isin(self._to_table_rows(np.arange(len(self))), table_rows))

    def _to_table_rows(self, rows: np.ndarray) -> np.ndarray:
        if self._view is None:
            return rows
        starts, _ = self._view.locate(rows)
        return self._view.gather(starts).astype(np.int64)

    def _truncate(self, lengths: np.ndarray) -> np.ndarray:
        limit = self._collate.max_length
        return lengths if limit is None else np.minimum(lengths, limit)

    def _gather(self, rows: np.ndarray) -> Batch:
        main = self._collate.inputs[0]
        table_rows = self._to_table_rows(rows)
        first = self._read(main, self._columns[main], table_rows)
        check_empty(main, first.lengths, rows)
        sorted_rows = SortedRows(self._truncate(first.lengths))

        def packed(name: str) -> PackedSequence:
            column = self._columns[name]
            if isinstance(column, NestedColumn):
                tokens = sorted_rows.index(column.locate(table_rows)[0])  # (N,) inner lists, in packed order
                inner = self._read(name, column.inner, tokens)
                check_empty_tokens(name, inner.lengths, sorted_rows, rows)
                return inner.pack_with_permutation(name)
            if name in self._collate.unaligned:
                own = self._read(name, column, table_rows[sorted_rows.order])
                check_empty(name, own.lengths, rows[sorted_rows.order])
                return own.pack_with_permutation(name)
            own = first if name == main else self._read(name, column, table_rows)
            return sorted_rows.pack(own.values(sorted_rows, name))

        def stacked(name: str) -> Tensor:
            column = self._columns[name]
            assert isinstance(column, ArrowColumn)
            starts, widths = column.locate(table_rows[sorted_rows.order])  # (B,)
            if not column.is_list:
                return to_tensor(column.gather(starts), name)
            starts = starts[:, None] + np.arange(widths[0]) * column.stride  # (B, C)
            return to_tensor(column.gather(starts.ravel()).reshape(*starts.shape, *column.shape), name)

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
        starts, lengths = column.locate(rows)
        if name not in self._text_columns:
            return _Sequences(starts, lengths, column.items, column.shape, column.gather)
        ends = lengths.cumsum()
        index = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)  # of all rows' bytes
        values, lengths = decode_utf8(column.gather(index), lengths)
        return _Sequences(lengths.cumsum() - lengths, lengths, values, (), values.take)

    def _decode(self, rows: np.ndarray) -> Batch:
        return self._collate.collate(self.dataset[rows.tolist()], rows)


class _Sequences(NamedTuple):
    """Some sequences of a column that can be gathered."""

    starts: np.ndarray  # (B,) the index of each sequence's first item
    lengths: np.ndarray  # (B,)
    items: np.ndarray | None  # the array that `starts` index; None if an item is a bit
    shape: tuple[int, ...]  # of one value
    gather: Callable[[np.ndarray], np.ndarray]  # from the first items of values (N,) to the values (N, *shape)

    def values(self, sorted_rows: SortedRows, name: str) -> Tensor:
        """Return the values, (N, *shape), in packed order."""
        width = prod(self.shape)
        found = None
        if self.items is not None and width > 1:
            found = gather(self.items, self.starts[sorted_rows.order], sorted_rows.batch_sizes.numpy(), width)
        if found is None:
            found = self.gather(sorted_rows.index(self.starts, width))
        return to_tensor(found.reshape(len(found), *self.shape), name)

    def pack_with_permutation(self, name: str) -> PackedSequence:
        """Return the sequences packed in an order of their own, with the permutation that restores theirs."""
        sorted_rows = SortedRows(self.lengths)
        return sorted_rows.pack_with_permutation(self.values(sorted_rows, name))


def _without_rows(batch: Batch) -> Batch:
    """Return a batch without sequences that has the same columns, dtypes and shapes."""

    def empty(values: PackedSequence | Tensor) -> Any:
        if isinstance(values, PackedSequence):
            order = values.sorted_indices
            none = None if order is None else order[:0]
            return PackedSequence(values.data[:0], values.batch_sizes[:0], none, none)
        return values[:0]

    return Batch(
        rows=batch.rows[:0],
        inputs={name: empty(values) for name, values in batch.inputs.items()},
        targets={name: empty(values) for name, values in batch.targets.items()},
    )
