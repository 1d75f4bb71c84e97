"""Words to the ids of their characters."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, RowError, flat, is_list, ragged, read, require

CODE_POINTS = 0x110000


class WordCharacters(Encoder):
    """A sequence of ids for each word, one id a character (code point); id 0 is any that training had too rarely.

    Reads a column of lists of words, as :class:`~seqkit.data.Words` does, and is given as an input beside it. An
    empty word is one unknown character.

    Args:
        min_frequency: How often a character must occur in training to get an id of its own.
        vocabulary: What was learned: the characters, from id 1 on.
        column: The dataset's column; by default the one of the input's name.
    """

    kind = "nested"

    def __init__(self, min_frequency: int = 2, vocabulary: str | None = None, column: str | None = None) -> None:
        self.min_frequency = min_frequency
        self.vocabulary = vocabulary
        self.column = column

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """(0x110000,), the id of each code point."""
        if self.vocabulary is None:
            raise ValueError("this WordCharacters has no vocabulary yet; use what its fit() returns")
        table = np.zeros(CODE_POINTS, dtype=np.int32)
        table[_code_points([self.vocabulary])] = np.arange(1, self.size)
        return table

    @property
    def size(self) -> int:
        """Number of ids."""
        if self.vocabulary is None:
            raise ValueError("this WordCharacters has no vocabulary yet; use what its fit() returns")
        return len(self.vocabulary) + 1

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"min_frequency": self.min_frequency, "vocabulary": self.vocabulary, "column": self.column}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the characters of a column of lists of words, the most frequent first."""
        if self.vocabulary is not None:
            return self
        counts = np.zeros(CODE_POINTS, dtype=np.int64)
        for words in read(column, name, lambda values: _words(values, column.features[name])[0]):
            counts += np.bincount(_code_points(words.drop_null().to_pylist()), minlength=CODE_POINTS)
        known = np.flatnonzero(counts >= self.min_frequency)
        ordered = known[np.argsort(-counts[known], kind="stable")]
        return type(self)(self.min_frequency, "".join(map(chr, ordered)), self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of words; see the base class."""
        words, counts = _words(values, feature)
        require(words, counts)
        coded = pc.dictionary_encode(words)
        lengths = pc.utf8_length(coded.dictionary).to_numpy().astype(np.int64)
        ids = self.ids[_code_points(coded.dictionary.to_pylist())]
        empty = lengths == 0
        ids = np.insert(ids, (lengths.cumsum() - lengths)[empty], 0)
        distinct = ragged(pa.array(ids), np.maximum(lengths, 1))
        return ragged(distinct.take(coded.indices), counts)

    @property
    def item(self) -> Any:
        """The type of a word's ids."""
        return datasets.List(datasets.Value("int32"))

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words of each row of lists of ids, with U+FFFD for what is unknown."""
        characters = "\N{REPLACEMENT CHARACTER}" + (self.vocabulary or "")
        return [["".join(characters[int(number)] for number in word) for word in row] for row in values]


def _words(values: pa.Array, feature: Any) -> tuple[pa.Array, NDArray[np.int64]]:
    strings = is_list(feature) and isinstance(feature.feature, datasets.Value)
    if not strings or feature.feature.dtype not in ("string", "large_string"):
        raise RowError(0, f"WordCharacters reads lists of words, not {feature}; use Characters for texts")
    return flat(values)


def _code_points(strings: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(strings).encode("utf-32-le"), dtype=np.uint32)
