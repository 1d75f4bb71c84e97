"""The base of streams: sequences in, outputs of their new tokens out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

import torch

from seqkit import packed
from seqkit.batch import Batch
from seqkit.data.rows.checks import check_columns
from seqkit.options import integer
from seqkit.tasks.prediction import evaluation
from seqkit.tasks.stream.reader import Reader
from seqkit.tasks.stream.steps import State, merge_rows, select_rows

if TYPE_CHECKING:
    from seqkit.tasks.module import SequenceModule


class Stream(ABC):
    """Sequences whose tokens arrive one by one or in pieces; the model reads each token once.

    :meth:`push` reads the new tokens of each sequence from the state after those before, and returns the outputs of
    the new tokens. All pushes together give what :meth:`~seqkit.Task.predict` gives for the whole sequences. A
    stream is for one set of weights: open another one after more training.

    Args:
        model: The model, in any mode; it reads in evaluation and without gradients.
        batch_size: B, the number of sequences; None for one sequence, whose values and outputs are in no list.
        per_token: The names of the outputs that have a value for each token.

    Attributes:
        lengths: The number of tokens read of each of the B sequences.

    Raises:
        ValueError: ``batch_size`` is less than 1; the model's outputs depend on later tokens, or it cannot continue
            from a state.
    """

    def __init__(self, model: "SequenceModule", batch_size: int | None, *, per_token: Iterable[str]) -> None:
        self.model = model
        self._per_token = frozenset(per_token)
        self._is_single = batch_size is None
        self._size = 1 if batch_size is None else integer("batch_size", batch_size, 1)
        self._reader = Reader(model.spec["inputs"])
        self._state: State | None = None
        self._outputs: list[dict[str, Any]] = [{}] * self._size  # the last of each sequence
        self._notes: dict[int, Any] = {}  # by sequence, what it keeps besides its state
        self._new_notes: dict[int, Any] = {}  # of a push that is not complete
        self._modules = list(model.modules())
        self.lengths = [0] * self._size
        self.reset()

    def push(self, values: Any) -> Any:
        """Read the new tokens of some sequences.

        Args:
            values: Of each of the B sequences its new tokens, as :meth:`~seqkit.Task.predict` takes a row: a list
                of words, a text, a list of steps; a dict if the model reads several columns. None or an empty one:
                no new token. Or a dict of columns, each with B values. Without ``batch_size``, those of the one
                sequence.

        Returns:
            B dicts, or one without ``batch_size``. What is predicted per token is a list with a value for each new
            token. What is predicted per sequence is the answer after the tokens read so far, None before the first.

        Raises:
            ValueError: There are not B values, or one cannot be encoded. The stream is then as it was before.
        """
        new = self._reader.encode([values] if self._is_single else self._rows(values))
        outputs, state = [self._without_tokens(row) for row in range(self._size)], self._state
        device = self.model.device
        self._new_notes = {}
        with self._evaluation():
            for rows in self._groups(new.rows):
                batch = self._reader.pack(new, rows, device, cast(torch.dtype, self.model.dtype))
                order = batch.rows.tolist()
                index = None if order == list(range(self._size)) else packed.to_device(batch.rows, device)
                kept = None if self._begins(order[0]) else self._state
                if kept is not None and index is not None:
                    kept = select_rows(kept, index)
                found, after = self._read(batch, kept)
                state = after if index is None else merge_rows(state, after, index, self._size)
                for row, output in zip(order, found, strict=True):
                    outputs[row] = output
        self._state, self._outputs = state, outputs
        self._notes |= self._new_notes
        for row, length in zip(new.rows, new.lengths, strict=True):
            self.lengths[row] += length
        return outputs[0] if self._is_single else list(outputs)

    def reset(self, rows: Iterable[int] | None = None) -> None:
        """Let some sequences, by default all, begin again, as when the stream was opened.

        Args:
            rows: Their numbers, from 0 to B - 1.

        Raises:
            TypeError: ``rows`` is no list, or a number is none.
            ValueError: There is no such sequence. The stream is then as it was before.
        """
        if rows is not None and not isinstance(rows, Iterable):
            raise TypeError(f"reset: rows={rows!r}: must be a list of sequences, such as [0]")
        last = self._size - 1
        chosen = list(range(self._size)) if rows is None else [integer("reset: row", row, 0, last) for row in rows]
        self._begin(chosen)
        for row in chosen:
            self.lengths[row] = 0

    # What a kind of stream defines.

    @abstractmethod
    def _begin(self, rows: Sequence[int]) -> None:
        """Forget what some sequences have read, and set their output before the first token."""

    @abstractmethod
    def _begins(self, row: int) -> bool:
        """Whether a sequence has no state yet."""

    @abstractmethod
    def _read(self, batch: Batch, state: State | None) -> tuple[list[dict[str, Any]], State]:
        """Read the new tokens of some sequences.

        Args:
            batch: The sequences.
            state: Their states, in the batch's order; None if they begin.

        Returns:
            The output and the state of each sequence, in the batch's order.
        """

    def _evaluation(self) -> AbstractContextManager[None]:
        """Evaluate without gradients."""
        if any(module.training for module in self._modules):
            return evaluation(self.model)
        return torch.inference_mode()

    def _without_tokens(self, row: int) -> dict[str, Any]:
        """Return the output of a sequence without new tokens: no value per token, the last one per sequence."""
        return {name: [] if name in self._per_token else value for name, value in self._outputs[row].items()}

    def _groups(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield the sequences that begin, and those that continue from a state."""
        for begins in (True, False):
            if group := [row for row in rows if self._begins(row) == begins]:
                yield group

    def _rows(self, values: Any) -> list[Any]:
        """Return the B values of a push."""
        size = self._size
        if isinstance(values, Mapping):
            columns = self._reader.columns
            check_columns(columns, values, "the push")
            for column in columns:
                _check_count(values[column], size, f" in column {column!r}")
            return [{column: values[column][row] for column in columns} for row in range(size)]
        _check_count(values, size, "")
        return list(values)


def _check_count(values: Any, size: int, where: str) -> None:
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError(
            f"push got {values!r:.60}{where} for {size} sequences; give a list with the new tokens of each"
        )
    if len(values) != size:
        raise ValueError(
            f"push got {len(values)} values{where} for {size} sequences; give one for each, None for a sequence "
            f"without a new token"
        )
