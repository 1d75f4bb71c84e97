"""Ids of characters: of texts, and of the characters of each word."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import (
    flatten,
    is_list_feature,
    is_text_feature,
    iter_column,
    locate,
    require_values,
    unflatten,
)
from seqkit.data.encoders.tokenizer import TokenizerEncoder, dump_vocabulary, new_tokenizer
from seqkit.data.rows.checks import RowError
from seqkit.options import instance, integer

_NUM_CODE_POINTS = 0x110000


class Characters(TokenizerEncoder):
    """One id per character (code point), white space included; id 0 is every character that is too rare.

    Reads a column of strings, or of lists of single characters.

    Args:
        min_frequency: How often a character must occur in the training split to have its own id.
        tokenizer: The learned WordLevel tokenizer of the `tokenizers` library over characters, as JSON.
    """

    def __init__(self, min_frequency: int = 1, tokenizer: str | None = None) -> None:
        self.min_frequency = integer("min_frequency", min_frequency, 1)
        self.tokenizer = tokenizer

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """(0x110000,) the id of each code point: those of the tokenizer, but much faster to look up."""
        table = np.zeros(_NUM_CODE_POINTS, dtype=np.int32)
        for character, number in self.model.get_vocab().items():
            if len(character) == 1:
                table[ord(character)] = number
        return table

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the characters of a column of strings."""
        if self.tokenizer is not None:
            return self
        model = new_tokenizer()
        model.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
        feature = dataset.features[column]
        counts = np.zeros(_NUM_CODE_POINTS, dtype=np.int64)
        for characters, _ in iter_column(dataset, column, lambda values: _read_characters(values, feature)):
            counts += np.bincount(_code_points(characters.to_pylist()), minlength=_NUM_CODE_POINTS)
        by_character = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return type(self)(self.min_frequency, dump_vocabulary(model, by_character, self.min_frequency))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings or lists of characters; see the base class."""
        characters, lengths = _read_characters(values, feature)
        return unflatten(pa.array(self.ids[_code_points(characters.to_pylist())]), lengths)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the text of each row of ids."""
        return ["".join(str(self.model.id_to_token(int(number))) for number in row) for row in values]


class WordCharacters(Encoder):
    """A sequence of character ids for each word; id 0 is every character that is too rare in training.

    Reads a column of lists of words, as :class:`~seqkit.data.Words` does, and is used as an input beside it. An
    empty word becomes one unknown character.

    Args:
        min_frequency: How often a character must occur in the training split to have its own id.
        vocabulary: The learned characters, in the order of their ids, from id 1 on.
        column: The dataset's column; by default the one with the input's name.
    """

    kind = "nested"
    unknown_id = 0
    item_feature = datasets.List(datasets.Value("int32"))

    def __init__(self, min_frequency: int = 2, vocabulary: str | None = None, column: str | None = None) -> None:
        self.min_frequency = integer("min_frequency", min_frequency, 1)
        self.vocabulary = vocabulary
        self.column = instance("column", column, str)

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """(0x110000,) the id of each code point."""
        table = np.zeros(_NUM_CODE_POINTS, dtype=np.int32)
        table[_code_points([require_fitted(self.vocabulary, self, "vocabulary")])] = np.arange(1, self.size)
        return table

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(require_fitted(self.vocabulary, self, "vocabulary")) + 1

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the characters of a column of lists of words, the most frequent first."""
        if self.vocabulary is not None:
            return self
        feature = dataset.features[column]
        counts = np.zeros(_NUM_CODE_POINTS, dtype=np.int64)
        for words, _ in iter_column(dataset, column, lambda values: _read_words(values, feature)):
            counts += np.bincount(_code_points(words.drop_null().to_pylist()), minlength=_NUM_CODE_POINTS)
        frequent = np.flatnonzero(counts >= self.min_frequency)
        ordered = frequent[np.argsort(-counts[frequent], kind="stable")]
        return type(self)(self.min_frequency, "".join(map(chr, ordered)), self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of words; see the base class."""
        words, counts = _read_words(values, feature)
        require_values(words, counts)
        coded = pc.dictionary_encode(words)
        lengths = pc.utf8_length(coded.dictionary).to_numpy().astype(np.int64)
        ids = self.ids[_code_points(coded.dictionary.to_pylist())]
        empty = lengths == 0
        ids = np.insert(ids, (lengths.cumsum() - lengths)[empty], 0)
        distinct_words = unflatten(pa.array(ids), np.maximum(lengths, 1))
        return unflatten(distinct_words.take(coded.indices), counts)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words of each row of lists of ids, with U+FFFD for unknown characters."""
        characters = "\N{REPLACEMENT CHARACTER}" + (self.vocabulary or "")
        return [["".join(characters[int(number)] for number in word) for word in row] for row in values]


def _read_characters(values: pa.Array, feature: Any) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return strings with the characters of all rows, and the number of characters of each row."""
    if is_text_feature(feature):
        require_values(values)
        return values, pc.utf8_length(values).to_numpy().astype(np.int64)
    if not (is_list_feature(feature) and is_text_feature(feature.feature)):
        raise RowError(
            0,
            f"Characters reads strings or lists of characters, not {feature}; give such values, or use another "
            f"encoder",
        )
    characters, lengths = flatten(values)
    require_values(characters, lengths)
    sizes = pc.utf8_length(characters).to_numpy()
    if (sizes != 1).any():
        position = int(np.flatnonzero(sizes != 1)[0])
        row, where = locate(position, lengths)
        found = characters[position].as_py()
        raise RowError(row, f"{found!r}{where} is not one character; use Words for lists of words")
    return characters, lengths


def _read_words(values: pa.Array, feature: Any) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the words of all rows, concatenated, and the number of words of each row."""
    if not is_list_feature(feature) or not is_text_feature(feature.feature):
        raise RowError(0, f"WordCharacters reads lists of words, not {feature}; use Characters for texts")
    return flatten(values)


def _code_points(strings: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(strings).encode("utf-32-le"), dtype=np.uint32)
