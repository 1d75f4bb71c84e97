"""What an encoder is, and how encoders read Arrow columns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self, TypeVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Kind = Literal["ids", "nested", "features", "class", "multilabel", "labels", "value"]

IGNORE_INDEX = -100

T = TypeVar("T")


class RowError(ValueError):
    """Something is wrong with one value of a column.

    Args:
        row: The position of the value, in the column that was being read.
        message: What is wrong, both values, the remedy.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(f"row {row}: {message}")
        self.row = row
        self.message = message


class Encoder(ABC):
    """From one column's values to the numbers that a net reads or is to predict.

    The constructor's arguments are plain-typed and hold what `fit` learns, so ``type(self)(**self.init_args())``
    rebuilds a learned encoder from a checkpoint, and a config may state what is known beforehand.

    Attributes:
        kind: What it gives; ``nested``: a sequence of ids for each token.
        column: The dataset's column that it reads, where that is not the one it is named by: several encoders may
            read one column.
    """

    kind: Kind
    column: str | None = None

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of ids or classes, or width of the features."""

    @abstractmethod
    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""

    @abstractmethod
    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder that has learned from the training column ``name``. What it was given stays."""

    @abstractmethod
    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode a column.

        Args:
            values: One value per row.
            feature: Their type, as `datasets` declares it.

        Raises:
            RowError: At a value that cannot be encoded.
        """

    @property
    @abstractmethod
    def item(self) -> Any:
        """The type of one encoded token, or of one sequence's target, as `datasets` declares it."""

    def encode(self, values: Sequence[Any]) -> list[Any]:
        """Encode values given as Python objects, numpy arrays or tensors, one per row."""
        column = pa.array([value.tolist() if hasattr(value, "tolist") else value for value in values])
        feature = datasets.Features.from_arrow_schema(pa.schema({"value": column.type}))["value"]
        return list(self.encode_array(column, feature).to_pylist())

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return what the encoded values stand for, one per row; here the values themselves."""
        return list(values)


def read(dataset: datasets.Dataset, name: str, reader: Callable[[pa.Array], T]) -> Iterator[T]:
    """Yield what ``reader`` makes of each piece of a column.

    Raises:
        RowError: As ``reader`` does; it names the dataset's row.
    """
    first = 0
    for table in dataset.select_columns(name).with_format("arrow").iter(batch_size=1000):
        try:
            result = reader(table.column(name).combine_chunks())
        except RowError as error:
            raise RowError(first + error.row, error.message) from error
        yield result
        first += len(table)


def is_list(feature: Any) -> bool:
    """Whether this is a list type of `datasets`, of any length."""
    return isinstance(feature, datasets.List | datasets.LargeList)


def flat(values: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the values of all rows one after the other, and the length of each row.

    Raises:
        RowError: At a row without a value.
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    require(values)
    return pc.list_flatten(values), pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)


def ragged(values: pa.Array, lengths: NDArray[np.int64]) -> pa.Array:
    """Return the rows of these lengths; the opposite of `flat`."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.LargeListArray.from_arrays(pa.array(offsets), values).cast(pa.list_(values.type))


def require(values: pa.Array, lengths: NDArray[np.int64] | None = None) -> None:
    """Raise `RowError` at the first row whose value (or one of whose values) is missing."""
    if values.null_count:
        position = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        if lengths is None:
            raise RowError(position, "there is no value (null); fill it in or drop the row")
        row, token = place(position, lengths)
        raise RowError(row, f"there is no value (null) at position {token}; fill it in or drop the row")


def place(position: int, lengths: NDArray[np.int64]) -> tuple[int, int]:
    """Return the row, and the position in it, of a position in flat values."""
    ends = np.cumsum(lengths)
    row = int(np.searchsorted(ends, position, side="right"))
    return row, int(position - (ends[row] - lengths[row]))
