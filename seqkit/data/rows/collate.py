"""Examples to a packed batch: ``DataLoader(dataset, collate_fn=PackCollate("tokens", targets="tags"))``."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.batch import Batch
from seqkit.data.rows.checks import check_columns
from seqkit.packed import conjugate, token_positions, token_ranks


class PackCollate:
    """Turns examples into a :class:`~seqkit.batch.Batch`: sorted by length once, packed without padding.

    All columns along the sequence are written by one index, so they share one ``batch_sizes``. What holds the
    values is of no account (lists, numpy arrays, tensors, any Hugging Face format), only their kind is:
    integers become int64, floats of every width float32, booleans stay. Lightning's ``precision="64-true"``
    widens the floats again. A string is a sequence of its characters' code points, or of its bytes.

    Two kinds of columns are packed apart, with ``sorted_indices`` and ``unsorted_indices`` of their own:
    ``nested`` ones, such as the characters of each word, hold a sequence for each token, in the order of the main
    input's ``.data``, so that final states (N, H) line up with it; ``unaligned`` ones, such as the second text of a
    pair or the labels of CTC, hold one sequence a row whose length is its own, in the order of ``Batch.rows``.

    Args:
        inputs: Columns with one sequence an example, (T,) or (T, ...). The first is the main one: its lengths
            sort the batch and the others' must match them.
        targets: Columns with either one value an example (a tensor (B,) in the batch) or one for each token
            of the main input (packed).
        sequence_targets: Columns with a vector an example, such as multi-hot labels: a tensor (B, C).
        nested: Which of the inputs and targets hold a sequence for each token.
        unaligned: Which of them hold a sequence whose length is its own.
        text: What a string is a sequence of: ``"characters"`` or ``"bytes"`` (of UTF-8).
        row: The column that holds an example's row in its dataset; without one, ``Batch.rows`` holds its
            position among the examples given.
        max_length: Cut each sequence to its first ``max_length`` tokens.

    Raises:
        ValueError: When called, for a missing column, an empty sequence, columns of different lengths, a null,
            values that are not numbers or not of one shape; the message names the row and the remedy.

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
        self.inputs = _names(inputs)
        self.targets = _names(targets)
        self.sequence_targets = _names(sequence_targets)
        self.nested = _names(nested)
        self.unaligned = _names(unaligned)
        self.text = text
        self.row = row
        self.max_length = max_length
        if not self.inputs:
            raise ValueError("inputs names no column; PackCollate needs at least one, whose lengths sort the batch")
        for name in (*self.nested, *self.unaligned):
            if name not in (*self.inputs[1:], *self.targets) or (name in self.nested and name in self.unaligned):
                raise ValueError(
                    f"column {name!r} is nested or unaligned; it must be one of the two, and one of the targets or "
                    f"of the inputs after the main one, {self.inputs[0]!r}"
                )
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_length is {max_length}; it must be at least 1, or None to cut nothing")

    def __call__(self, examples: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Batch:
        """Packs a list of examples, or the dict of columns that ``dataset[[5, 2, 9]]`` gives."""
        names = [*self.inputs, *self.targets, *self.sequence_targets, *([self.row] if self.row else [])]
        if isinstance(examples, Mapping):
            check_columns(names, examples, "the batch")
            columns = {name: examples[name] for name in names}
        else:
            for example in examples:
                check_columns(names, example, "an example")
            columns = {name: [example[name] for example in examples] for name in names}
        rows = columns[self.row] if self.row else range(len(columns[self.inputs[0]]))
        return self.collate(columns, np.asarray(rows, dtype=np.int64))

    def collate(self, columns: Mapping[str, Iterable[Any]], rows: np.ndarray) -> Batch:
        """Packs columns of examples that stand in the given dataset rows.

        Args:
            columns: By name, one value an example.
            rows: (B,) int64, what messages and ``Batch.rows`` call the examples.
        """
        if not rows.size:
            raise ValueError("there is no example to collate; a batch without sequences has no dtype")
        lists = {name: list(zip(values, rows.tolist(), strict=True)) for name, values in columns.items()}
        arrays = {
            name: [_array(self._value(value, name), name, row) for value, row in lists[name]]
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
            check_lengths(main, lengths, name, _counts(lists[name], name), rows)
        check_empty(main, lengths, rows)
        for name, values in arrays.items():
            _check_shapes(values, name, rows, per_token=name in (*aligned, *self.unaligned))

        starts = lengths.cumsum() - lengths
        sorted_rows = SortedRows(lengths if self.max_length is None else np.minimum(lengths, self.max_length))
        index = sorted_rows.index(starts)

        def packed(name: str) -> PackedSequence:
            if name in self.nested:
                inner = [
                    _array(self._value(value, name), name, row) for values, row in lists[name] for value in values
                ]
                check_empty_tokens(name, np.array([len(inner[place]) for place in index]), sorted_rows, rows)
                return packed_apart([inner[place] for place in index], name)
            if name in self.unaligned:
                check_empty(name, _lengths(arrays[name], name, rows), rows)
                return packed_apart([arrays[name][place] for place in sorted_rows.order], name)
            return sorted_rows.packed(to_tensor(np.concatenate(arrays[name])[index], name))

        def stacked(name: str) -> Tensor:
            return to_tensor(np.stack(arrays[name])[sorted_rows.order], name)

        sequences = (*aligned, *self.nested, *self.unaligned)
        targets = {name: packed(name) if name in sequences else stacked(name) for name in self.targets}
        return Batch(
            rows=torch.from_numpy(rows[sorted_rows.order]),
            inputs={name: packed(name) for name in self.inputs},
            targets=targets | {name: stacked(name) for name in self.sequence_targets},
        )

    def _value(self, value: Any, column: str) -> Any:
        """A value; of a string that is a sequence its characters or bytes, as numbers."""
        if not isinstance(value, str) or column not in (*self.inputs, *self.nested, *self.unaligned):
            return value
        if self.text == "bytes":
            return np.frombuffer(value.encode(), np.uint8)
        return np.frombuffer(value.encode("utf-32-le"), np.uint32)


def packed_apart(sequences: Sequence[np.ndarray], column: str) -> PackedSequence:
    """Sequences packed with a permutation of their own, whose ``unsorted_indices`` give the order they came in."""
    lengths = np.array([len(sequence) for sequence in sequences])
    sorted_rows = SortedRows(lengths)
    values = np.concatenate(sequences)[sorted_rows.index(lengths.cumsum() - lengths)]
    return sorted_rows.packed_apart(to_tensor(values, column))


class SortedRows:
    """The rows of a batch, sorted by length (longest first, stable), and where their tokens are when packed.

    Args:
        lengths: (B,) tokens of each row.

    Attributes:
        order: (B,) the rows, longest first.
        batch_sizes: (T,) int64, one tensor for all columns.
    """

    def __init__(self, lengths: np.ndarray):
        self.order = np.argsort(-lengths, kind="stable")
        self._sizes = conjugate(lengths)
        self.batch_sizes = torch.from_numpy(self._sizes)

    @cached_property
    def positions(self) -> np.ndarray:
        """(N,) each packed token's time step."""
        return token_positions(self._sizes)

    @cached_property
    def ranks(self) -> np.ndarray:
        """(N,) the index in ``order`` of each packed token's row."""
        return token_ranks(self._sizes)

    def index(self, starts: np.ndarray, stride: int = 1) -> np.ndarray:
        """Locate each packed token (N,) in values whose rows begin at ``starts`` (B,), in the order given."""
        index: np.ndarray = starts[self.order][self.ranks] + self.positions * stride
        return index

    def packed(self, data: Tensor) -> PackedSequence:
        """Make a PackedSequence of one column's values (N, ...) in packed order."""
        return PackedSequence(data, self.batch_sizes)

    def packed_apart(self, data: Tensor) -> PackedSequence:
        """Make a PackedSequence whose permutation gives the rows in the order in which they came."""
        order = torch.from_numpy(self.order)
        return PackedSequence(data, self.batch_sizes, order, torch.argsort(order))


def to_tensor(values: np.ndarray, column: str) -> Tensor:
    """The one rule of dtypes: integers to int64, floats to float32, booleans as they are."""
    if values.dtype == np.float32:
        return torch.from_numpy(values)
    if values.dtype.kind == "f":
        return torch.from_numpy(values).to(torch.float32)
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"column {column!r} holds {values.max()}, more than int64 can; map it to smaller numbers")
    return torch.from_numpy(values if values.dtype == np.bool_ else values.astype(np.int64, copy=False))


def check_lengths(main: str, lengths: np.ndarray, column: str, others: np.ndarray, rows: np.ndarray) -> None:
    """Raises ValueError for the first row (B,) whose length differs from its length in the main input."""
    for place in np.flatnonzero(lengths != others)[:1]:
        raise ValueError(
            f"row {rows[place]}: {lengths[place]} tokens in column {main!r} but {others[place]} values in "
            f"{column!r}; one for each token is needed, so repair the row or drop it with dataset.filter"
        )


def check_empty(column: str, lengths: np.ndarray, rows: np.ndarray) -> None:
    """Raises ValueError for the first row (B,) without tokens."""
    if not lengths.all():
        row = rows[lengths.argmin()]
        raise ValueError(
            f"row {row}: column {column!r} is an empty sequence, which cannot be packed; drop such "
            f'rows with dataset.filter, or let the sampler do it with empty="drop"'
        )


def check_empty_tokens(column: str, lengths: np.ndarray, sorted_rows: SortedRows, rows: np.ndarray) -> None:
    """Raises ValueError for the first token (N,), in packed order, whose inner sequence is empty."""
    for place in np.flatnonzero(lengths == 0)[:1]:
        row = rows[sorted_rows.order[sorted_rows.ranks[place]]]
        raise ValueError(
            f"row {row}: column {column!r} holds an empty sequence for token {sorted_rows.positions[place]}, "
            f"which cannot be packed; give it one value at least, or drop the row with dataset.filter"
        )


def null_error(column: str, row: int) -> ValueError:
    """The error for a null in a row, at any depth."""
    return ValueError(
        f"row {row}: column {column!r} is null or holds a null; fill it or drop the row with dataset.filter"
    )


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _array(value: Any, column: str, row: int) -> np.ndarray:
    """One example's value as an array of numbers."""
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
        value = value.float()  # numpy has no bfloat16
    try:
        array = np.asarray(value)
    except ValueError:  # numpy's word for lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind in "biuf":
        return array
    if _holds_null(value):
        raise null_error(column, row)
    if array.dtype == np.object_:
        raise ValueError(
            f"row {row}: column {column!r} holds lists of different lengths within one sequence; "
            f"every token needs the same shape"
        )
    raise ValueError(
        f"row {row}: column {column!r} holds values of dtype {array.dtype}, not numbers; encode them first"
    )


def _holds_null(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple | np.ndarray) and any(map(_holds_null, value)))


def _lengths(arrays: list[np.ndarray], column: str, rows: np.ndarray) -> np.ndarray:
    for array, row in zip(arrays, rows, strict=True):
        if array.ndim == 0:
            raise ValueError(f"row {row}: column {column!r} holds the single value {array}, not a sequence")
    return np.array([len(array) for array in arrays], dtype=np.int64)


def _counts(values: Sequence[tuple[Any, int]], column: str) -> np.ndarray:
    """Number of inner sequences of each row (value, row)."""
    for value, row in values:
        if _holds_null(value):
            raise null_error(column, row)
    return np.array([len(value) for value, _ in values], dtype=np.int64)


def _check_shapes(arrays: list[np.ndarray], column: str, rows: np.ndarray, *, per_token: bool) -> None:
    shapes = [array.shape[1:] if per_token else array.shape for array in arrays]
    for shape, row in zip(shapes, rows, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"row {row}: column {column!r} has values of shape {shape} but {shapes[0]} in row {rows[0]}; "
                f"every {'token' if per_token else 'row'} needs the same shape"
            )
