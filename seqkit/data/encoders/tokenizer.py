"""Ids of trained tokenizers, and the tokenizers that keep the vocabularies of other encoders."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import tokenizers
from tokenizers import Tokenizer

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import is_text_feature, require_values, unflatten
from seqkit.data.rows.checks import RowError
from seqkit.files import check_regular_file
from seqkit.options import flag

UNKNOWN = "<unk>"


class TokenizerEncoder(Encoder):
    """An encoder whose vocabulary is a tokenizer of the `tokenizers` library.

    Attributes:
        tokenizer: The tokenizer as JSON, or None if the encoder is not fitted.
    """

    kind = "ids"
    item_feature = datasets.Value("int32")
    tokenizer: str | None

    @cached_property
    def model(self) -> Tokenizer:
        """The tokenizer without padding, truncation and dropout: a text always has the same ids, and all of them.

        Raises:
            ValueError: The JSON is not that of a tokenizer.
        """
        content = require_fitted(self.tokenizer, self, "vocabulary")
        try:
            model = Tokenizer.from_str(content)
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(f"the tokenizer's JSON cannot be read ({error}): {content[:60]!r}") from error
        model.no_padding()
        model.no_truncation()
        if getattr(model.model, "dropout", None):
            model.model.dropout = None
        return model

    @cached_property
    def size(self) -> int:
        """The largest id + 1; ids may have gaps."""
        return 1 + max(self.model.get_vocab().values(), default=-1)

    @cached_property
    def unknown_id(self) -> int | None:  # type: ignore[override]
        """The id of the tokenizer's unknown token, or else of its mask token; None if it has neither."""
        model = json.loads(self.model.to_str())["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        tokens = (model.get("unk_token"), "[MASK]", "<mask>")
        ids = [self.model.token_to_id(token) for token in tokens if token]
        return next((number for number in ids if number is not None), None)


class TokenizerFile(TokenizerEncoder):
    """Ids of any trained tokenizer of the `tokenizers` library, from a column of strings.

    Padding, truncation and dropout that the file sets are turned off: rows have their full length, and the data
    module cuts them if it should.

    Args:
        path: Its JSON file (``tokenizer.json``).
        special_tokens: Whether to add the special tokens of the tokenizer's post-processor.
        tokenizer: The content of the file, instead of its path, as in a checkpoint.
    """

    def __init__(self, path: str | None = None, special_tokens: bool = True, tokenizer: str | None = None) -> None:
        if (path is None) == (tokenizer is None):
            raise ValueError("TokenizerFile needs either the path of a tokenizer's JSON file or its content")
        self.path = path
        self.special_tokens = flag("special_tokens", special_tokens)
        if path is not None:
            check_regular_file(path)
            tokenizer = Path(path).read_text(encoding="utf-8")
        self.tokenizer = tokenizer

    @cached_property
    def size(self) -> int:
        """The largest id + 1, also of the special tokens, which need not be in the vocabulary."""
        special = self.model.encode("", add_special_tokens=self.special_tokens).ids
        return max([super().size, *(number + 1 for number in special)])

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the content of the file instead of its path."""
        return {"special_tokens": self.special_tokens, "tokenizer": self.tokenizer}

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:  # noqa: ARG002
        """Return this encoder; there is nothing to learn."""
        return self

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings; see the base class."""
        if not is_text_feature(feature):
            raise RowError(0, f"TokenizerFile reads strings, not {feature}; use Words for lists of words")
        require_values(values)
        encoded = self.model.encode_batch_fast(values.to_pylist(), add_special_tokens=self.special_tokens)
        lengths = np.array([len(row) for row in encoded], dtype=np.int64)
        ids = np.fromiter((number for row in encoded for number in row.ids), dtype=np.int32, count=lengths.sum())
        return unflatten(pa.array(ids), lengths)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the text of each row of ids."""
        decoded: list[Any] = self.model.decode_batch([[int(number) for number in row] for row in values])
        return decoded


def new_tokenizer() -> Tokenizer:
    """Return a word-level tokenizer that knows no word."""
    return Tokenizer(tokenizers.models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))


def dump_vocabulary(model: Tokenizer, counts: Mapping[str, int], min_frequency: int) -> str:
    """Return the JSON of a word-level tokenizer with the frequent words of some counts.

    Id 0 is the unknown word. The other ids go to the most frequent words first, and to equally frequent words in
    the order of their code points.
    """
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_frequency and word != UNKNOWN)
    vocabulary = {UNKNOWN: 0} | {word: number for number, (_, word) in enumerate(kept, start=1)}
    model.model = tokenizers.models.WordLevel(vocabulary, unk_token=UNKNOWN)
    text: str = model.to_str()
    return text
