"""The interface of an encoder."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, Self, TypeVar

import datasets
import pyarrow as pa

from seqkit.data.rows.values import to_arrow

Kind = Literal["ids", "nested", "features", "class", "multilabel", "labels", "value"]

IGNORE_INDEX = -100

T = TypeVar("T")


class Encoder(ABC):
    """Turns one column of a dataset into the numbers that a model reads or predicts.

    The constructor's arguments are of plain types and include what `fit` learns. So
    ``type(self)(**self.init_args())`` rebuilds a fitted encoder from a checkpoint, and a config may give what is
    known beforehand.

    Attributes:
        kind: The kind of output: ``ids`` (one id per token), ``nested`` (a sequence of ids per token), ``features``
            (a vector per token), ``class``, ``multilabel``, ``labels`` (label sequences) or ``value``.
        column: The dataset's column to read, if it has another name than the input or target. Several encoders may
            read one column.
        value_depth: How many lists enclose the value of one token or of one sequence.
        unknown_id: The id of values that are not in the vocabulary, which may stand for any value; None if there is
            none.
    """

    kind: Kind
    column: str | None = None
    value_depth: int = 0
    unknown_id: int | None = None

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of ids or classes, or width of the features."""

    @property
    @abstractmethod
    def item_feature(self) -> Any:
        """The `datasets` feature of one encoded token, or of one sequence's target."""

    @abstractmethod
    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder that has learned from a column of the training split; given arguments stay."""

    @abstractmethod
    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode a column.

        Args:
            values: One value per row.
            feature: The `datasets` feature of the column.

        Raises:
            RowError: If a value cannot be encoded.
        """

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, including what was learned."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def encode(self, values: Sequence[Any]) -> list[Any]:
        """Encode Python objects, numpy arrays or tensors, one per row."""
        column = to_arrow([value.tolist() if hasattr(value, "tolist") else value for value in values])
        return list(self.encode_array(column, _feature_of(column.type)).to_pylist())

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return what the encoded values mean, one per row; by default the values themselves."""
        return list(values)


@lru_cache(maxsize=64)
def _feature_of(kind: pa.DataType) -> Any:
    """Return the `datasets` feature of a column's Arrow type."""
    return datasets.Features.from_arrow_schema(pa.schema({"value": kind}))["value"]


def require_fitted(learned: T | None, encoder: Encoder, what: str) -> T:
    """Return what an encoder has learned.

    Raises:
        ValueError: If it is None, because the encoder is not fitted.
    """
    if learned is None:
        raise ValueError(
            f"this {type(encoder).__name__} has no {what} yet; call fit() and use the encoder that it returns"
        )
    return learned
