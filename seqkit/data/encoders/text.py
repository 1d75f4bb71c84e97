"""Text to ids: words, characters, or the pieces of a trained tokenizer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import tokenizers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from seqkit.data.encoders.base import Encoder, RowError, flat, is_list, place, ragged, read, require

UNKNOWN = "<unk>"


class Words(Encoder):
    """One id per word; id 0 is any word that the training split did not have often enough.

    A word is one element of the column, whatever characters it has; a column of texts is split into words and
    punctuation by the `tokenizers` library's `BertPreTokenizer`, for targets per sequence.

    Args:
        min_frequency: How often a word must occur in training to get an id of its own.
        lowercase: Whether ``The`` and ``the`` are one word.
        tokenizer: What was learned: a WordLevel model of the `tokenizers` library, as JSON.
        column: The dataset's column; by default the one of the input's name.
    """

    kind = "ids"

    def __init__(
        self,
        min_frequency: int = 1,
        lowercase: bool = False,
        tokenizer: str | None = None,
        column: str | None = None,
    ) -> None:
        self.min_frequency = min_frequency
        self.lowercase = lowercase
        self.tokenizer = tokenizer
        self.column = column

    @cached_property
    def model(self) -> Tokenizer:
        """The vocabulary, as a tokenizer of the `tokenizers` library."""
        return _learned(self.tokenizer, "Words")

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self.model.get_vocab_size())

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {
            "min_frequency": self.min_frequency,
            "lowercase": self.lowercase,
            "tokenizer": self.tokenizer,
            "column": self.column,
        }

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the vocabulary of a column of lists of strings, or of texts."""
        if self.tokenizer is not None:
            return self
        model = Tokenizer(tokenizers.models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
        if self.lowercase:
            model.normalizer = tokenizers.normalizers.Lowercase()
        counts: Counter[str] = Counter()
        for words, _ in read(column, name, _words):
            for word, count in _counts(words):
                counts[_normalized(model, word)] += count
        vocabulary = _with_vocabulary(model, counts, self.min_frequency)
        return type(self)(self.min_frequency, self.lowercase, vocabulary, self.column)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of strings, or texts; see the base class."""
        if not is_list(feature) and not is_text(values):
            raise RowError(0, f"Words reads lists of words, or texts, not {feature}; name another encoder")
        words, lengths = _words(values)
        require(words, lengths)
        coded = pc.dictionary_encode(words)
        # Word by word through the vocabulary: encoding by the tokenizer would lose the empty word.
        ids = [self.model.token_to_id(_normalized(self.model, word)) or 0 for word in coded.dictionary.to_pylist()]
        return ragged(pa.array(np.array(ids, dtype=np.int32)[coded.indices.to_numpy()]), lengths)

    @property
    def item(self) -> Any:
        """The type of an id."""
        return datasets.Value("int32")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the words of each row of ids."""
        return [[self.model.id_to_token(int(number)) for number in row] for row in values]


def is_text(values: pa.Array) -> bool:
    """Whether an array holds one string a row."""
    return bool(pt.is_string(values.type) or pt.is_large_string(values.type))


def _words(values: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """The words of all rows one after the other, and how many each row has."""
    if not is_text(values):
        return flat(values)
    require(values)
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return flat(pa.array([[word for word, _ in split(text)] for text in values.to_pylist()], pa.list_(pa.string())))


class Characters(Encoder):
    """One id per character (code point), line ends and blanks included; id 0 is any that training did not have.

    Reads a column of strings, or of lists of single characters.

    Args:
        min_frequency: How often a character must occur in training to get an id of its own.
        tokenizer: What was learned: a WordLevel model of the `tokenizers` library over characters, as JSON.
    """

    kind = "ids"

    def __init__(self, min_frequency: int = 1, tokenizer: str | None = None) -> None:
        self.min_frequency = min_frequency
        self.tokenizer = tokenizer

    @cached_property
    def model(self) -> Tokenizer:
        """The vocabulary, as a tokenizer of the `tokenizers` library."""
        return _learned(self.tokenizer, "Characters")

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """(0x110000,), the id of each code point; the same ids as the tokenizer's, looked up much faster."""
        table = np.zeros(0x110000, dtype=np.int32)
        for character, number in self.model.get_vocab().items():
            if len(character) == 1:
                table[ord(character)] = number
        return table

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self.model.get_vocab_size())

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"min_frequency": self.min_frequency, "tokenizer": self.tokenizer}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the characters of a column of strings."""
        if self.tokenizer is not None:
            return self
        model = Tokenizer(tokenizers.models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
        model.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
        counts = np.zeros(0x110000, dtype=np.int64)
        for characters, _ in read(column, name, lambda values: _characters(values, column.features[name])):
            counts += np.bincount(_code_points(characters), minlength=0x110000)
        by_character = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return type(self)(self.min_frequency, _with_vocabulary(model, by_character, self.min_frequency))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings or lists of characters; see the base class."""
        characters, lengths = _characters(values, feature)
        return ragged(pa.array(self.ids[_code_points(characters)]), lengths)

    @property
    def item(self) -> Any:
        """The type of an id."""
        return datasets.Value("int32")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the text of each row of ids."""
        return ["".join(str(self.model.id_to_token(int(number))) for number in row) for row in values]


class TokenizerFile(Encoder):
    """Ids of any trained tokenizer of the `tokenizers` library, from a column of strings.

    Args:
        path: Its JSON file (``tokenizer.json``).
        special_tokens: Whether to add the special tokens that the file's post-processor knows.
        tokenizer: The file's content instead, as a checkpoint keeps it.
    """

    kind = "ids"

    def __init__(self, path: str | None = None, special_tokens: bool = True, tokenizer: str | None = None) -> None:
        if (path is None) == (tokenizer is None):
            raise ValueError("TokenizerFile needs the path of a tokenizer's JSON file, or its content")
        self.path = path
        self.special_tokens = special_tokens
        self.tokenizer = tokenizer if path is None else Path(path).read_text(encoding="utf-8")

    @cached_property
    def model(self) -> Tokenizer:
        """The tokenizer. Nothing is padded here, so what the file says about it is set aside."""
        model = _learned(self.tokenizer, "TokenizerFile")
        model.no_padding()
        return model

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self.model.get_vocab_size())

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the file's content."""
        return {"special_tokens": self.special_tokens, "tokenizer": self.tokenizer}

    def fit(self, column: datasets.Dataset, name: str) -> Self:  # noqa: ARG002
        """Return this encoder; there is nothing to learn."""
        return self

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings; see the base class."""
        if not _is_string(feature):
            raise RowError(0, f"TokenizerFile reads strings, not {feature}; use Words for lists of words")
        require(values)
        encoded = self.model.encode_batch_fast(values.to_pylist(), add_special_tokens=self.special_tokens)
        lengths = np.array([len(row) for row in encoded], dtype=np.int64)
        ids = np.fromiter((number for row in encoded for number in row.ids), dtype=np.int32, count=lengths.sum())
        return ragged(pa.array(ids), lengths)

    @property
    def item(self) -> Any:
        """The type of an id."""
        return datasets.Value("int32")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the text of each row of ids."""
        decoded: list[Any] = self.model.decode_batch([[int(number) for number in row] for row in values])
        return decoded


def _learned(tokenizer: str | None, name: str) -> Tokenizer:
    if tokenizer is None:
        raise ValueError(f"this {name} has no vocabulary yet; use what its fit() returns")
    return Tokenizer.from_str(tokenizer)


def _with_vocabulary(model: Tokenizer, counts: dict[str, int], min_frequency: int) -> str:
    """Return the JSON of the tokenizer with these words: the most frequent first, ties by code points."""
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_frequency and word != UNKNOWN)
    vocabulary = {UNKNOWN: 0} | {word: number for number, (_, word) in enumerate(kept, start=1)}
    model.model = tokenizers.models.WordLevel(vocabulary, unk_token=UNKNOWN)
    text: str = model.to_str()
    return text


def _normalized(model: Tokenizer, word: str) -> str:
    return str(model.normalizer.normalize_str(word)) if model.normalizer else word


def _counts(words: pa.Array) -> Iterable[tuple[str, int]]:
    counted = pc.value_counts(words.drop_null())
    return zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)


def _is_string(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def _characters(values: pa.Array, feature: Any) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return strings of characters, and the number of characters of each row."""
    if _is_string(feature):
        require(values)
        return values, pc.utf8_length(values).to_numpy().astype(np.int64)
    if not (is_list(feature) and _is_string(feature.feature)):
        raise RowError(0, f"Characters reads strings or lists of characters, not {feature}")
    characters, lengths = flat(values)
    require(characters, lengths)
    sizes = pc.utf8_length(characters).to_numpy()
    if (sizes != 1).any():
        position = int(np.flatnonzero(sizes != 1)[0])
        row, at = place(position, lengths)
        found = characters[position].as_py()
        raise RowError(row, f"{found!r} at position {at} is not one character; use Words for lists of words")
    return characters, lengths


def _code_points(strings: pa.Array) -> NDArray[np.uint32]:
    return np.frombuffer("".join(strings.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
