"""Ids of words and of word shapes."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import check_words, flatten, iter_column, map_distinct, require_values, unflatten
from seqkit.data.encoders.words import count_words
from seqkit.options import instance, integer


class ShapedWords(Encoder):
    """One id per frequent word; rare and unknown words share one id per shape. Id 0 is an unknown shape.

    A shape consists of a word's classes of characters (upper case, lower case, digit, other characters; a run of
    one class counts once) and of the last letters of a lower-case word, as for the unknown words of parsers (Petrov
    et al. 2006). ``Tokyo`` and ``Lahore`` both have the shape ``Xx``.

    Args:
        min_frequency: How often a word, or the rare words of a shape, must occur in the training split to have an
            id.
        suffix: Number of last letters in a shape.
        vocabulary: The learned words and shapes, in the order of their ids, from id 1 on. A shape has a leading
            null character.
        column: The dataset's column; by default the one with the input's name.
    """

    kind = "ids"
    unknown_id = 0
    item_feature = datasets.Value("int32")

    def __init__(
        self,
        min_frequency: int = 2,
        suffix: int = 0,
        vocabulary: list[str] | None = None,
        column: str | None = None,
    ) -> None:
        self.min_frequency = integer("min_frequency", min_frequency, 1)
        self.suffix = integer("suffix", suffix, 0)
        self.vocabulary = vocabulary
        self.column = instance("column", column, str)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word and of each shape."""
        vocabulary = require_fitted(self.vocabulary, self, "vocabulary")
        return {word: i for i, word in enumerate(vocabulary, start=1)}

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self.ids) + 1

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the vocabulary of a column of lists of strings."""
        if self.vocabulary is not None:
            return self
        check_words(dataset.features[column], type(self).__name__)
        counts: Counter[str] = Counter()
        for words, _ in iter_column(dataset, column, flatten):
            counts.update(dict(count_words(words)))
        entries = self._count_entries(counts).items()
        frequent = sorted((-count, entry) for entry, count in entries if count >= self.min_frequency)
        return type(self)(self.min_frequency, self.suffix, [entry for _, entry in frequent], self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of strings; see the base class."""
        check_words(feature, type(self).__name__)
        words, lengths = flatten(values)
        require_values(words, lengths)
        return unflatten(pa.array(map_distinct(words, self._word_id, np.int32)), lengths)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words, or shapes, of each row of ids."""
        names = ["<unk>", *(self.vocabulary or [])]
        return [[names[int(number)] for number in row] for row in values]

    def shape(self, word: str) -> str:
        """Return a word's shape, with a leading null character."""
        classes = ["X" if c.isupper() else "x" if c.isalpha() else "9" if c.isdigit() else c for c in word]
        runs = [now for now, before in zip(classes, ["", *classes], strict=False) if now != before]
        end = word[-self.suffix :] if self.suffix and word.islower() else ""
        return "\0" + "".join(runs) + ("-" + end if end else "")

    def _count_entries(self, counts: Counter[str]) -> Counter[str]:
        """Return the frequency of each word and of each shape of rare words, given the words' frequencies."""
        rare = Counter({word: count for word, count in counts.items() if count < self.min_frequency})
        return counts | self._count_shapes(rare)

    def _count_shapes(self, counts: Counter[str]) -> Counter[str]:
        shapes: Counter[str] = Counter()
        for word, count in counts.items():
            shapes[self.shape(word)] += count
        return shapes

    def _word_id(self, word: str) -> int:
        return self.ids.get(word) or self.ids.get(self.shape(word), 0)


class WordShapes(ShapedWords):
    """One id per word shape, as an input in addition to the words; see :class:`ShapedWords`.

    Args:
        min_frequency: How often the words of a shape must occur in the training split for it to have an id.
        suffix: Number of last letters in a shape.
        vocabulary: The learned shapes, each with a leading null character.
        column: The dataset's column; by default the one with the input's name.
    """

    def _count_entries(self, counts: Counter[str]) -> Counter[str]:
        return self._count_shapes(counts)

    def _word_id(self, word: str) -> int:
        return self.ids.get(self.shape(word), 0)
