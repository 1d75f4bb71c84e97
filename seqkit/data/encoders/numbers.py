"""Numbers: ids as they are, standardised features, values to predict."""

from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, RowError, flat, is_list, place, ragged, read, require


class Ids(Encoder):
    """Ids that the column already holds, from 0.

    Args:
        size: How many there are; by default the training split's largest plus 1.
    """

    kind = "ids"

    def __init__(self, size: int | None = None) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """Number of ids."""
        if self._size is None:
            raise ValueError("this Ids has no size yet; use what its fit() returns")
        return self._size

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"size": self._size}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder whose size is the column's largest id plus 1."""
        if self._size is not None:
            return self
        largest = -1
        for ids, _ in read(column, name, lambda values: _whole(values, column.features[name])):
            largest = max(largest, int(ids.max(initial=-1)))
        if largest < 0:
            raise ValueError(
                f"column {name!r} holds no id, so there is nothing to learn its size from; give Ids(size=...)"
            )
        return type(self)(largest + 1)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check lists of integers; see the base class."""
        ids, lengths = _whole(values, feature)
        outside = (ids < 0) | (ids >= self.size)
        if outside.any():
            position = int(np.flatnonzero(outside)[0])
            row, token = place(position, lengths)
            found = f"id {ids[position]} at position {token}"
            raise RowError(row, f"{found} is not in 0 to {self.size - 1}; give Ids(size=...)")
        return ragged(pa.array(ids.astype(np.int32)), lengths)

    @property
    def item(self) -> Any:
        """The type of an id."""
        return datasets.Value("int32")


class Features(Encoder):
    """Float channels, each with the training split's mean taken off and divided by its standard deviation.

    Reads series of shape (T, D), or (T,) as (T, 1). A channel that is constant in training is only centred.

    Args:
        standardize: Whether to; otherwise the channels stay as they are.
        mean: The training mean of each channel, learned if None.
        std: The training standard deviation of each channel, learned if None.
    """

    kind = "features"

    def __init__(
        self, standardize: bool = True, mean: list[float] | None = None, std: list[float] | None = None
    ) -> None:
        if (mean is None) != (std is None) or (mean is not None and std is not None and len(mean) != len(std)):
            raise ValueError(f"mean and std belong together, one number per channel each; got {mean} and {std}")
        self.standardize = standardize
        self.mean = mean
        self.std = std

    @property
    def size(self) -> int:
        """D, the number of channels."""
        if self.mean is None:
            raise ValueError("this Features has not seen its channels yet; use what its fit() returns")
        return len(self.mean)

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"standardize": self.standardize, "mean": self.mean, "std": self.std}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the mean and standard deviation of every channel of a column of series."""
        if self.mean is not None:
            return self
        count, mean, squares = 0, np.zeros(0), np.zeros(0)

        def finite_series(values: pa.Array) -> NDArray[np.float64]:
            return _finite_series(values, len(mean) or None)[0]

        for series in read(column, name, finite_series):
            if len(series):
                count, mean, squares = _joined(count, mean, squares, series)
        if not count:
            raise ValueError(f"column {name!r} holds no time step, so there is nothing to learn from")
        std = _deviation(count, mean, squares)
        if not self.standardize:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return type(self)(self.standardize, mean.tolist(), std.tolist())

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:  # noqa: ARG002
        """Standardise series; see the base class."""
        series, lengths = _finite_series(values, self.size)
        series = (series - np.array(self.mean)) / np.array(self.std)
        frames = pa.FixedSizeListArray.from_arrays(pa.array(series.astype(np.float32).ravel()), self.size)
        return ragged(frames, lengths)

    @property
    def item(self) -> Any:
        """The type of D channels."""
        return datasets.List(datasets.Value("float32"), length=self.size)


class Values(Encoder):
    """Numbers to predict, per token or per sequence, as they are.

    Their mean and standard deviation are learned for the task, which predicts standardised values.

    Args:
        mean: The training mean, learned if None.
        std: The training standard deviation, learned if None; 1 where the values are constant.
    """

    kind = "value"

    def __init__(self, mean: float | None = None, std: float | None = None) -> None:
        if (mean is None) != (std is None):
            raise ValueError(f"mean and std belong together; got {mean} and {std}")
        self.mean = mean
        self.std = std

    @property
    def size(self) -> int:
        """One number each."""
        return 1

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"mean": self.mean, "std": self.std}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder with the mean and standard deviation of a column of numbers, or of lists of them."""
        if self.mean is not None:
            return self
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        for numbers, _ in read(column, name, lambda values: _finite_numbers(values, column.features[name])):
            if len(numbers):
                count, mean, squares = _joined(count, mean, squares, numbers[:, None])
        if not count:
            raise ValueError(f"column {name!r} holds no value, so there is nothing to learn from")
        return type(self)(float(mean[0]), float(_deviation(count, mean, squares)[0]))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check numbers, or lists of them; see the base class."""
        numbers, lengths = _finite_numbers(values, feature)
        array = pa.array(numbers.astype(np.float32))
        return array if lengths is None else ragged(array, lengths)

    @property
    def item(self) -> Any:
        """The type of a number."""
        return datasets.Value("float32")


def _joined(
    count: int, mean: NDArray[np.float64], squares: NDArray[np.float64], series: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number, mean and squared deviation of each channel with those of a further piece (n, D).

    In float64 and joined as in Chan, Golub and LeVeque (1983), so a large mean costs no digits.
    """
    if not count:
        mean, squares = np.zeros(series.shape[1]), np.zeros(series.shape[1])
    own = series.mean(axis=0)
    total = count + len(series)
    squares = squares + ((series - own) ** 2).sum(axis=0) + (own - mean) ** 2 * (count * len(series) / total)
    return total, mean + (own - mean) * (len(series) / total), squares


def _deviation(count: int, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each channel, 1 for a constant one."""
    std: NDArray[np.float64] = np.sqrt(squares / count)
    # The rounding of a constant channel's mean is no variation.
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    return std


def _whole(values: pa.Array, feature: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the whole numbers of all rows, and the length of each row."""
    if not is_list(feature):
        raise RowError(0, f"Ids reads lists of whole numbers, not {feature}")
    array, lengths = flat(values)
    require(array, lengths)
    if len(array) and not pt.is_integer(array.type):
        raise RowError(0, f"Ids reads lists of whole numbers, not {feature}")
    return array.to_numpy(zero_copy_only=False).astype(np.int64), lengths


def _series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the frames of all series, (N, D), and the length of each series."""
    depth, leaf = 0, values.storage.type if isinstance(values, pa.ExtensionArray) else values.type
    while pt.is_list(leaf) or pt.is_large_list(leaf) or pt.is_fixed_size_list(leaf):
        depth, leaf = depth + 1, leaf.value_type
    if depth not in (1, 2) or not (pt.is_floating(leaf) or pt.is_integer(leaf) or pt.is_null(leaf)):
        raise RowError(0, f"Features reads series of numbers, (T, D) or (T,), not {values.type}")
    array, lengths = flat(values)
    require(array, lengths)
    channels, widths = flat(array) if depth == 2 else (array, np.ones(len(array), dtype=np.int64))
    expected = size or int(widths[0]) if len(widths) else size or 0
    if (widths != expected).any():
        position = int(np.flatnonzero(widths != expected)[0])
        row, step = place(position, lengths)
        raise RowError(row, f"{widths[position]} channels at step {step}, expected {expected}")
    if channels.null_count:
        position = int(np.flatnonzero(channels.is_null().to_numpy(zero_copy_only=False))[0])
        row, step = place(position // expected, lengths)
        raise RowError(row, f"channel {position % expected} has no value (null) at step {step}")
    return channels.to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(array), expected), lengths


def _finite_numbers(values: pa.Array, feature: Any) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the numbers of all rows, and the length of each row if a row is a list."""
    lengths = None
    if is_list(feature):
        values, lengths = flat(values)
    require(values, lengths)
    if not (pt.is_floating(values.type) or pt.is_integer(values.type) or pt.is_boolean(values.type)):
        raise RowError(0, f"Values reads numbers or lists of numbers, not {feature}; use Labels for classes")
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    if not np.isfinite(numbers).all():
        position = int(np.flatnonzero(~np.isfinite(numbers))[0])
        row, token = (position, None) if lengths is None else place(position, lengths)
        where = "" if token is None else f" at position {token}"
        raise RowError(row, f"the target{where} is {numbers[position]}; fill it in or drop the row")
    return numbers, lengths


def _finite_series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    series, lengths = _series(values, size)
    finite = np.isfinite(series)
    if not finite.all():
        position, channel = (int(axis[0]) for axis in np.nonzero(~finite))
        row, step = place(position, lengths)
        found = series[position, channel]
        raise RowError(row, f"channel {channel} is {found} at step {step}; fill it in or drop the row")
    return series, lengths
