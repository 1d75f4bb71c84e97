"""Ids of words, and ids that a column already contains."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import tokenizers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import (
    check_words,
    flatten,
    is_list_feature,
    is_text_feature,
    iter_column,
    locate,
    map_distinct,
    require_values,
    unflatten,
)
from seqkit.data.encoders.tokenizer import TokenizerEncoder, dump_vocabulary, new_tokenizer
from seqkit.data.rows.checks import RowError
from seqkit.options import flag, instance, integer, optional_integer

_LARGEST_ID = int(np.iinfo(np.int32).max)
_MAX_LEARNED = 10_000_000  # ids; a larger size is probably a mistake and has to be given


class Words(TokenizerEncoder):
    """One id per word; id 0 is every word that is too rare in the training split.

    A word is one element of a list, whatever characters it has. A column of texts is split into words and
    punctuation by the `tokenizers` library's `BertPreTokenizer`; this suits targets per sequence.

    Args:
        min_frequency: How often a word must occur in the training split to have its own id.
        lowercase: Whether ``The`` and ``the`` are the same word.
        tokenizer: The learned WordLevel tokenizer of the `tokenizers` library, as JSON.
        column: The dataset's column; by default the one with the input's name.
    """

    def __init__(
        self,
        min_frequency: int = 1,
        lowercase: bool = False,
        tokenizer: str | None = None,
        column: str | None = None,
    ) -> None:
        self.min_frequency = integer("min_frequency", min_frequency, 1)
        self.lowercase = flag("lowercase", lowercase)
        self.tokenizer = tokenizer
        self.column = instance("column", column, str)

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the vocabulary of a column of lists of strings, or of texts."""
        if self.tokenizer is not None:
            return self
        model = new_tokenizer()
        if self.lowercase:
            model.normalizer = tokenizers.normalizers.Lowercase()
        feature = dataset.features[column]
        counts: Counter[str] = Counter()
        for words, _ in iter_column(dataset, column, lambda values: _split_words(values, feature)):
            for word, count in count_words(words):
                counts[_normalise(model, word)] += count
        vocabulary = dump_vocabulary(model, counts, self.min_frequency)
        return type(self)(self.min_frequency, self.lowercase, vocabulary, self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of strings, or texts; see the base class."""
        words, lengths = _split_words(values, feature)
        require_values(words, lengths)

        def word_id(word: str) -> int:
            # The vocabulary is used directly, because the tokenizer drops empty words.
            return self.model.token_to_id(_normalise(self.model, word)) or 0

        return unflatten(pa.array(map_distinct(words, word_id, np.int32)), lengths)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words of each row of ids."""
        return [[self.model.id_to_token(int(number)) for number in row] for row in values]


def count_words(words: pa.Array) -> Iterator[tuple[str, int]]:
    """Yield each distinct word and its frequency."""
    counted = pc.value_counts(words.drop_null())
    return zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)


def _split_words(values: pa.Array, feature: Any) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the words of all rows, concatenated, and the number of words of each row."""
    if not is_text_feature(feature):
        check_words(feature, "Words", "lists of words, or texts")
        return flatten(values)
    require_values(values)
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return flatten(
        pa.array([[word for word, _ in split(text)] for text in values.to_pylist()], pa.list_(pa.string()))
    )


def _normalise(model: Tokenizer, word: str) -> str:
    return str(model.normalizer.normalize_str(word)) if model.normalizer else word


class Ids(Encoder):
    """Ids that the column already contains, from 0.

    Args:
        size: The number of ids; by default the largest id of the training split plus 1, which may be ten million at
            most: an embedding has a vector for each.
    """

    kind = "ids"
    item_feature = datasets.Value("int32")

    def __init__(self, size: int | None = None) -> None:
        self._size = optional_integer("size", size, 1, _LARGEST_ID + 1)

    @property
    def size(self) -> int:
        """Number of ids."""
        return require_fitted(self._size, self, "size")

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, including what was learned."""
        return {"size": self._size}

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder whose size is the column's largest id plus 1."""
        if self._size is not None:
            return self
        feature = dataset.features[column]
        largest = -1
        for ids, _ in iter_column(dataset, column, lambda values: _read_ids(values, feature)):
            largest = max(largest, int(ids.max(initial=-1)))
        if largest < 0:
            raise ValueError(f"column {column!r} contains no id to learn the size from; give Ids(size=...)")
        if largest >= _MAX_LEARNED:
            raise ValueError(
                f"column {column!r} contains the id {largest}: a model would need {largest + 1} embedding vectors; "
                f"number the ids from 0, with Words for example, or give Ids(size=...)"
            )
        return type(self)(largest + 1)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check lists of integers; see the base class."""
        ids, lengths = _read_ids(values, feature)
        outside = (ids < 0) | (ids >= self.size)
        if outside.any():
            position = int(np.flatnonzero(outside)[0])
            row, where = locate(position, lengths)
            raise RowError(row, f"id {ids[position]}{where} is not in 0 to {self.size - 1}; give Ids(size=...)")
        return unflatten(pa.array(ids.astype(np.int32)), lengths)


def _read_ids(values: pa.Array, feature: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of all rows, concatenated, and the length of each row."""
    error = RowError(0, f"Ids reads lists of integers, not {feature}; give such values, or use another encoder")
    if not is_list_feature(feature):
        raise error
    array, lengths = flatten(values)
    require_values(array, lengths)
    if len(array) and not pt.is_integer(array.type):
        raise error
    ids = array.to_numpy(zero_copy_only=False)
    if ids.size and ids.max() > _LARGEST_ID:
        row, where = locate(int(ids.argmax()), lengths)
        raise RowError(row, f"id {ids.max()}{where} does not fit int32; number the ids from 0, as Words does")
    return ids.astype(np.int64), lengths
