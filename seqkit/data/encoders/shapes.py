"""Words to ids, rare and unknown ones by their shape."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqkit.data.encoders.base import Encoder, flat, ragged, read, require


class ShapedWords(Encoder):
    """One id a word; a word that training did not have often enough shares one with all of its shape.

    A shape is what kinds of characters a word has (capitals, small letters, digits, others: runs of one kind count
    once) and the last letters of a lower-cased word, as in the unknown words of parsers (Petrov et al. 2006).
    ``Tokyo`` and ``Lahore`` are ``Xx`` both. A shape that training did not have is id 0.

    Args:
        min_frequency: How often a word, or the words of a shape, must occur in training to get an id.
        suffix: Number of last letters that a shape keeps.
        vocabulary: What was learned: ids by word and, with a leading null character, by shape.
        column: The dataset's column; by default the one of the input's name.
    """

    kind = "ids"

    def __init__(
        self,
        min_frequency: int = 2,
        suffix: int = 0,
        vocabulary: list[str] | None = None,
        column: str | None = None,
    ) -> None:
        self.min_frequency = min_frequency
        self.suffix = suffix
        self.vocabulary = vocabulary
        self.column = column

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word, and of each shape."""
        if self.vocabulary is None:
            raise ValueError(f"this {type(self).__name__} has no vocabulary yet; use what its fit() returns")
        return {word: i for i, word in enumerate(self.vocabulary, start=1)}

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self.ids) + 1

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {
            "min_frequency": self.min_frequency,
            "suffix": self.suffix,
            "vocabulary": self.vocabulary,
            "column": self.column,
        }

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the vocabulary of a column of lists of strings."""
        if self.vocabulary is not None:
            return self
        counts: Counter[str] = Counter()
        for words, _ in read(column, name, flat):
            counts.update(words.drop_null().to_pylist())
        every = [(-count, name) for name, count in self._named(counts).items() if count >= self.min_frequency]
        return type(self)(self.min_frequency, self.suffix, [name for _, name in sorted(every)], self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:  # noqa: ARG002
        """Encode lists of strings; see the base class."""
        words, lengths = flat(values)
        require(words, lengths)
        coded = pc.dictionary_encode(words)
        table = [self._id(word) for word in coded.dictionary.to_pylist()]
        return ragged(pa.array(np.array(table, dtype=np.int32)[coded.indices.to_numpy()]), lengths)

    @property
    def item(self) -> Any:
        """The type of an id."""
        return datasets.Value("int32")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words, or shapes, of each row of ids."""
        names = ["<unk>", *(self.vocabulary or [])]
        return [[names[int(number)] for number in row] for row in values]

    def shape(self, word: str) -> str:
        """The shape of a word, after a null character."""
        kinds = ["X" if c.isupper() else "x" if c.isalpha() else "9" if c.isdigit() else c for c in word]
        runs = [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before]
        end = word[-self.suffix :] if self.suffix and word.islower() else ""
        return "\0" + "".join(runs) + ("-" + end if end else "")

    def _named(self, counts: Counter[str]) -> Counter[str]:
        """How often each word and each shape that may have an id occurs, by the counts of the words."""
        shapes: Counter[str] = Counter()
        for word, count in counts.items():
            if count < self.min_frequency:
                shapes[self.shape(word)] += count
        return counts | shapes

    def _id(self, word: str) -> int:
        return self.ids.get(word) or self.ids.get(self.shape(word), 0)


class WordShapes(ShapedWords):
    """One id a word's shape, beside its characters or its lower-cased form; see :class:`ShapedWords`.

    Args:
        min_frequency: How often the words of a shape must occur in training for it to get an id.
        suffix: Number of last letters that a shape keeps.
        vocabulary: What was learned: the shapes, with a leading null character.
        column: The dataset's column; by default the one of the input's name.
    """

    def _named(self, counts: Counter[str]) -> Counter[str]:
        shapes: Counter[str] = Counter()
        for word, count in counts.items():
            shapes[self.shape(word)] += count
        return shapes

    def _id(self, word: str) -> int:
        return self.ids.get(self.shape(word), 0)
