"""Collation of examples into packed batches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.batch import Batch
from seqkit.data.rows.checks import (
    RowError,
    check_columns,
    check_empty,
    check_empty_tokens,
    check_lengths,
    check_shapes,
    contains_null,
    null_error,
    surrogate_error,
)
from seqkit.data.rows.convert import to_array, to_tensor
from seqkit.data.rows.sorted_rows import SortedRows
from seqkit.options import choice, names, optional_integer


class PackCollate:
    """Collates examples into a :class:`~seqkit.batch.Batch`: sorted by length once, packed without padding.

    All columns along the sequence are gathered by one index and share one ``batch_sizes``. Any container works:
    lists, numpy arrays, tensors, any `datasets` format. Integers become int64, floats of any width float32,
    booleans stay. (Lightning's ``precision="64-true"`` converts the floats again.) A string is a sequence of the
    code points of its characters, or of its bytes.

    Two kinds of columns are packed with ``sorted_indices`` and ``unsorted_indices`` of their own. A ``nested``
    column, such as the characters of each word, contains a sequence for each token, in the order of the main
    input's ``.data``, so that its final states (N, H) line up with the tokens. An ``unaligned`` column, such as the
    second text of a pair or the labels of CTC, contains one sequence per row with a length of its own, in the order
    of ``Batch.rows``.

    Args:
        inputs: Columns with one sequence per example, (T,) or (T, ...). The first is the main input: its lengths
            sort the batch, and the other columns must have the same lengths.
        targets: Columns with one value per example (a tensor (B,) in the batch) or one per token of the main input
            (packed).
        sequence_targets: Columns with a vector per example, such as multi-hot labels: a tensor (B, C).
        nested: Inputs and targets with a sequence for each token.
        unaligned: Inputs and targets with a sequence whose length is its own.
        text: The elements of a string: ``"characters"`` or ``"bytes"`` (of UTF-8).
        row: The column with an example's row in its dataset. Without it, ``Batch.rows`` contains the position among
            the given examples.
        max_length: The number of tokens to keep of each sequence; None keeps all.

    Raises:
        ValueError: When called, if a column is missing, a sequence is empty, columns have different lengths, or
            values are null, not numbers or not of one shape; the message names the row and the remedy.

    Example:
        >>> collate = PackCollate("tokens", targets="tags")
        >>> collate([{"tokens": [1, 2], "tags": [0, 1]}, {"tokens": [3, 4, 5], "tags": [1, 1, 0]}]).rows
        tensor([1, 0])
    """

    def __init__(
        self,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] = (),
        *,
        sequence_targets: str | Sequence[str] = (),
        nested: str | Sequence[str] = (),
        unaligned: str | Sequence[str] = (),
        text: Literal["characters", "bytes"] = "characters",
        row: str | None = None,
        max_length: int | None = None,
    ):
        self.inputs = names("inputs", inputs, least=1)
        self.targets = names("targets", targets)
        self.sequence_targets = names("sequence_targets", sequence_targets)
        self.nested = names("nested", nested)
        self.unaligned = names("unaligned", unaligned)
        self.text = choice("text", text, ("characters", "bytes"))
        self.row = row
        self.max_length = optional_integer("max_length", max_length, 1)
        for name in self.sequence_targets:
            if name in self.targets:
                raise ValueError(f"column {name!r} is in targets and in sequence_targets; name it in one of them")
        for name in (*self.nested, *self.unaligned):
            if name not in (*self.inputs[1:], *self.targets) or (name in self.nested and name in self.unaligned):
                raise ValueError(
                    f"column {name!r} is nested or unaligned; it must be only one of the two, and a target or "
                    f"an input after the main one, {self.inputs[0]!r}"
                )

    def __call__(self, examples: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Batch:
        """Return the batch of a list of examples, or of a dict of columns such as ``dataset[[5, 2, 9]]``."""
        needed = [*self.inputs, *self.targets, *self.sequence_targets, *([self.row] if self.row else [])]
        if isinstance(examples, Mapping):
            check_columns(needed, examples, "the batch")
            columns = {name: examples[name] for name in needed}
        else:
            for example in examples:
                check_columns(needed, example, "an example")
            columns = {name: [example[name] for example in examples] for name in needed}
        rows = columns[self.row] if self.row else range(len(columns[self.inputs[0]]))
        return self.collate(columns, np.asarray(rows, dtype=np.int64))

    def collate(self, columns: Mapping[str, Iterable[Any]], rows: np.ndarray) -> Batch:
        """Return the batch of some dataset rows.

        Args:
            columns: One value per example, by column.
            rows: (B,) int64, the examples' rows in the dataset.
        """
        if not rows.size:
            raise ValueError(
                "there is no example to collate; give at least one, because an empty list has no dtype"
            )
        lists = {name: list(zip(values, rows.tolist(), strict=True)) for name, values in columns.items()}
        arrays = {
            name: [to_array(self._to_numbers(value, name, row), name, row) for value, row in lists[name]]
            for name in columns
            if name not in self.nested and name != self.row
        }
        main = self.inputs[0]
        aligned = [
            name
            for name in (*self.inputs, *self.targets)
            if name in arrays
            and name not in self.unaligned
            and (name in self.inputs or any(array.ndim for array in arrays[name]))
        ]
        lengths = _lengths(arrays[main], main, rows)
        for name in aligned[1:]:
            check_lengths(main, lengths, name, _lengths(arrays[name], name, rows), rows)
        for name in self.nested:
            check_lengths(main, lengths, name, _count_inner(lists[name], name), rows)
        check_empty(main, lengths, rows)
        for name, values in arrays.items():
            check_shapes(values, name, rows, per_token=name in (*aligned, *self.unaligned))

        sorted_rows = SortedRows(lengths if self.max_length is None else np.minimum(lengths, self.max_length))
        index = sorted_rows.index(lengths.cumsum() - lengths)

        def packed(name: str) -> PackedSequence:
            if name in self.nested:
                inner = [
                    to_array(self._to_numbers(value, name, row), name, row)
                    for values, row in lists[name]
                    for value in values
                ]
                inner = [inner[token] for token in index]
                check_empty_tokens(name, np.array([len(values) for values in inner]), sorted_rows, rows)
                return _pack_with_permutation(inner, name)
            if name in self.unaligned:
                check_empty(name, _lengths(arrays[name], name, rows), rows)
                return _pack_with_permutation([arrays[name][row] for row in sorted_rows.order], name)
            return sorted_rows.pack(to_tensor(np.concatenate(arrays[name])[index], name))

        def stacked(name: str) -> Tensor:
            return to_tensor(np.stack(arrays[name])[sorted_rows.order], name)

        sequences = (*aligned, *self.nested, *self.unaligned)
        targets = {name: packed(name) if name in sequences else stacked(name) for name in self.targets}
        return Batch(
            rows=torch.from_numpy(rows[sorted_rows.order]),
            inputs={name: packed(name) for name in self.inputs},
            targets=targets | {name: stacked(name) for name in self.sequence_targets},
        )

    def _to_numbers(self, value: Any, column: str, row: int) -> Any:
        """Return a string that is a sequence as numbers: its code points or its bytes."""
        if not isinstance(value, str) or column not in (*self.inputs, *self.nested, *self.unaligned):
            return value
        try:
            if self.text == "bytes":
                return np.frombuffer(value.encode(), np.uint8)
            return np.frombuffer(value.encode("utf-32-le"), np.uint32)
        except UnicodeEncodeError as error:
            raise surrogate_error(row, error, column) from error


def _lengths(arrays: list[np.ndarray], column: str, rows: np.ndarray) -> np.ndarray:
    for array, row in zip(arrays, rows, strict=True):
        if array.ndim == 0:
            raise RowError(int(row), f"the single value {array}, not a sequence; wrap it in a list", column)
    return np.array([len(array) for array in arrays], dtype=np.int64)


def _count_inner(values: Sequence[tuple[Any, int]], column: str) -> np.ndarray:
    """Return the number of inner sequences of each (value, row)."""
    for value, row in values:
        if contains_null(value):
            raise null_error(column, row)
    return np.array([len(value) for value, _ in values], dtype=np.int64)


def _pack_with_permutation(sequences: Sequence[np.ndarray], column: str) -> PackedSequence:
    lengths = np.array([len(sequence) for sequence in sequences])
    sorted_rows = SortedRows(lengths)
    values = np.concatenate(sequences)[sorted_rows.index(lengths.cumsum() - lengths)]
    return sorted_rows.pack_with_permutation(to_tensor(values, column))
