"""From the new values of some sequences to a packed batch, encoded as the training data was."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.nn.utils.rnn import PackedSequence

from seqkit.batch import Batch
from seqkit.data import PackCollate, TokenizerFile, Words
from seqkit.data.encoders import Encoder, RowError, input_encoder, source_columns
from seqkit.data.rows.checks import check_columns
from seqkit.tasks.prediction import cast_floats

PLACE = " of the push"


class NewTokens(NamedTuple):
    """The encoded new tokens of the sequences that have some.

    Attributes:
        rows: The sequences.
        lengths: The number of new tokens of each of them.
        columns: By input, the encoded tokens of each of them.
    """

    rows: list[int]
    lengths: list[int]
    columns: dict[str, list[Any]]


class Reader:
    """Encodes and packs the new values of some sequences.

    Args:
        inputs: The inputs of a data spec.

    Raises:
        ValueError: An input's tokens depend on the text around them.
    """

    def __init__(self, inputs: dict[str, Any]) -> None:
        self.inputs = inputs
        self.columns = source_columns(inputs)
        self.encoders = {name: input_encoder({"inputs": inputs}, name) for name in inputs}
        for name, encoder in self.encoders.items():
            if isinstance(encoder, TokenizerFile):
                raise ValueError(
                    f"input {name!r}: TokenizerFile splits a text as a whole, so the tokens of its parts may "
                    f"differ; call predict on whole texts, or train with Words or Characters"
                )
        nested = [name for name, entry in inputs.items() if entry["kind"] == "nested"]
        self._collate = PackCollate(list(inputs), nested=nested)
        self._sizes: dict[int, torch.Tensor] = {}  # by number of sequences, the batch sizes of one token each

    def encode(self, values: Sequence[Any]) -> NewTokens:
        """Encode the new values of all sequences.

        Args:
            values: B values of the model's only column, or B dicts with its columns; None or an empty one where
                there is no new token.

        Raises:
            RowError: A value cannot be encoded; names its sequence.
        """
        given = {row: found for row, value in enumerate(values) if (found := self._columns_of(row, value))}
        columns = {name: self._encode(name, encoder, given) for name, encoder in self.encoders.items()}
        lengths = [len(tokens) for tokens in next(iter(columns.values()))]
        kept = [place for place, length in enumerate(lengths) if length]
        rows = list(given)
        return NewTokens(
            [rows[place] for place in kept],
            [lengths[place] for place in kept],
            {name: [encoded[place] for place in kept] for name, encoded in columns.items()},
        )

    def pack(self, new: NewTokens, rows: Sequence[int], device: torch.device, dtype: torch.dtype) -> Batch:
        """Pack the new tokens of some sequences, longest first.

        Args:
            new: The result of :meth:`encode`.
            rows: Some of its sequences.
            device: Where the model is.
            dtype: The type of floating-point inputs.

        Raises:
            RowError: Inputs of a sequence have different numbers of tokens.
        """
        place_of = {row: place for place, row in enumerate(new.rows)}
        places = [place_of[row] for row in rows]
        columns = {name: [encoded[place] for place in places] for name, encoded in new.columns.items()}
        batch = self._one_token_each(columns, rows, dtype)
        if batch is None:
            try:
                batch = cast_floats(self._collate.collate(columns, np.array(rows, dtype=np.int64)), dtype)
            except RowError as error:
                raise error.replace(place=PLACE) from error
        if device.type == "cpu":
            return batch
        return batch._replace(inputs=move_data_to_device(batch.inputs, device))

    def _one_token_each(
        self, columns: Mapping[str, list[Any]], rows: Sequence[int], dtype: torch.dtype
    ) -> Batch | None:
        """Pack a push of one token each, the most frequent one, without the checks of others; None for others."""
        if self._collate.nested or any(len(tokens) != 1 for encoded in columns.values() for tokens in encoded):
            return None
        # The batch sizes are kept, and with them the layout that is computed of them.
        sizes = self._sizes.setdefault(len(rows), torch.tensor([len(rows)]))
        inputs = {}
        for name, encoded in columns.items():
            kind = torch.int64 if self.inputs[name]["kind"] == "ids" else dtype
            inputs[name] = PackedSequence(torch.tensor([tokens[0] for tokens in encoded], dtype=kind), sizes)
        return Batch(torch.tensor(rows), inputs, {})

    def _columns_of(self, row: int, value: Any) -> dict[str, Any] | None:
        """Return the values of a sequence's columns, or None if it has no new token."""
        if not _count(row, None, value):
            return None
        if isinstance(value, Mapping):
            check_columns(self.columns, value, f"row {row}{PLACE}")
            found = {column: value[column] for column in self.columns}
        elif len(self.columns) == 1:
            found = {self.columns[0]: value}
        else:
            raise RowError(
                row,
                f"{_shown(value)} is no dict, but the model reads the columns {self.columns}; give a dict of them",
                place=PLACE,
            )
        counts = {column: _count(row, column, tokens) for column, tokens in found.items()}
        if not any(counts.values()):
            return None
        for column, count in counts.items():
            if not count:
                message = f"no new token, but another column has {max(counts.values())}; give each column as many"
                raise RowError(row, message, column, place=PLACE)
        return found

    def _encode(self, name: str, encoder: Encoder, given: Mapping[int, Mapping[str, Any]]) -> list[Any]:
        """Return the encoded tokens of an input, one list a sequence."""
        column = self.inputs[name].get("column", name)
        values = [found[column] for found in given.values()]
        try:
            if isinstance(encoder, Words):
                for place, value in enumerate(values):
                    _check_no_text(place, value)
            return encoder.encode(values) if values else []
        except RowError as error:
            raise error.replace(row=list(given)[error.row], column=column, place=PLACE) from error


def _count(row: int, column: str | None, tokens: Any) -> int:
    """Return the number of new tokens, or of characters of a text."""
    if tokens is None:
        return 0
    try:
        return len(tokens)
    except TypeError:
        message = f"{_shown(tokens)} is no sequence of tokens; give a list, also of one token"
        raise RowError(row, message, column, place=PLACE) from None


def _check_no_text(place: int, value: Any) -> None:
    if isinstance(value, str):
        raise RowError(
            place,
            f"{_shown(value)} is a text, which may end inside a word; give a list of words; in training, texts are "
            f"split by tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)",
        )


def _shown(value: Any) -> str:
    return f"{value!r:.60}"
