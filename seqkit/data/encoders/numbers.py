"""Numbers: ids as they are, standardised features, values to predict."""

from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, RowError, batches, flat, is_list, place, ragged, require


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
        for _, values in batches(column, name):
            ids = flat(values)[0].drop_null().to_numpy()
            largest = max(largest, int(ids.max(initial=-1)))
        if largest < 0:
            raise ValueError(f"column {name!r} holds no id, so there is nothing to learn its size from; give Ids(size=...)")
        return type(self)(largest + 1)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check lists of integers; see the base class."""
        array, lengths = flat(values)
        require(array, lengths)
        if len(array) and not pt.is_integer(array.type):
            raise RowError(0, f"Ids reads lists of whole numbers, not {feature}")
        ids = array.to_numpy()
        outside = (ids < 0) | (ids >= self.size)
        if outside.any():
            position = int(np.flatnonzero(outside)[0])
            row, token = place(position, lengths)
            raise RowError(
                row, f"id {ids[position]} at position {token} is not below the size {self.size}; give Ids(size=...)"
            )
        return ragged(pa.array(ids.astype(np.int32)), lengths)

    def feature(self, per_token: bool) -> Any:
        """Return the type of lists of ids."""
        return datasets.List(datasets.Value("int32"))


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
        """Return an encoder with the mean and standard deviation of every channel of a column of series.

        In float64; the moments of pieces are joined as in Chan, Golub and LeVeque (1983), so a large mean costs no
        digits.
        """
        if self.mean is not None:
            return self
        count, mean, squares = 0, np.zeros(0), np.zeros(0)
        for first, values in batches(column, name):
            try:
                series, lengths = _series(values, mean.size or None)
                _check_finite(series, lengths)
            except RowError as error:
                raise RowError(first + error.row, error.message) from error
            if not len(series):
                continue
            if not count:
                mean, squares = np.zeros(series.shape[1]), np.zeros(series.shape[1])
            own = series.mean(axis=0)
            total = count + len(series)
            squares += ((series - own) ** 2).sum(axis=0) + (own - mean) ** 2 * (count * len(series) / total)
            mean += (own - mean) * (len(series) / total)
            count = total
        if not count:
            raise ValueError(f"column {name!r} holds no time step, so there is nothing to learn from")
        std = np.sqrt(squares / count)
        # The rounding of a constant channel's mean is no variation.
        std[std <= 1e-12 * np.abs(mean)] = 1.0
        if not self.standardize:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return type(self)(self.standardize, mean.tolist(), std.tolist())

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Standardise series; see the base class."""
        series, lengths = _series(values, self.size)
        _check_finite(series, lengths)
        series = (series - np.array(self.mean)) / np.array(self.std)
        frames = pa.FixedSizeListArray.from_arrays(pa.array(series.astype(np.float32).ravel()), self.size)
        return ragged(frames, lengths)

    def feature(self, per_token: bool) -> Any:
        """Return the type of series of D channels."""
        return datasets.List(datasets.List(datasets.Value("float32"), length=self.size))


class Values(Encoder):
    """Numbers to predict, per token or per sequence, as they are."""

    kind = "value"

    @property
    def size(self) -> int:
        """One number each."""
        return 1

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments: none."""
        return {}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return this encoder; there is nothing to learn."""
        return self

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check numbers, or lists of them; see the base class."""
        lengths = None
        if is_list(feature):
            values, lengths = flat(values)
        require(values, lengths)
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32)
        if not np.isfinite(numbers).all():
            position = int(np.flatnonzero(~np.isfinite(numbers))[0])
            row, token = (position, None) if lengths is None else place(position, lengths)
            where = "" if token is None else f" at position {token}"
            raise RowError(row, f"the target{where} is {numbers[position]}; fill it in or drop the row")
        return pa.array(numbers) if lengths is None else ragged(pa.array(numbers), lengths)

    def feature(self, per_token: bool) -> Any:
        """Return the type of numbers, or of lists of them."""
        return datasets.List(datasets.Value("float32")) if per_token else datasets.Value("float32")


def _series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the frames of all series, (N, D), and the length of each series."""
    array, lengths = flat(values)
    require(array, lengths)
    if not (pt.is_list(array.type) or pt.is_large_list(array.type) or pt.is_fixed_size_list(array.type)):
        channels, widths = array, np.ones(len(array), dtype=np.int64)
    else:
        channels, widths = flat(array)
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


def _check_finite(series: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
    finite = np.isfinite(series)
    if not finite.all():
        position, channel = (int(axis[0]) for axis in np.nonzero(~finite))
        row, step = place(position, lengths)
        raise RowError(
            row, f"channel {channel} is {series[position, channel]} at step {step}; fill it in or drop the row"
        )
