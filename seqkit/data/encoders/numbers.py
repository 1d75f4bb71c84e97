"""Numbers: given ids, standardised features, values to predict."""

from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import flatten, is_list_feature, iter_column, locate, require_values, unflatten
from seqkit.data.rows.arrow import is_list_type
from seqkit.data.rows.checks import RowError
from seqkit.options import flag, optional_integer

_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)

_LARGEST_ID = int(np.iinfo(np.int32).max)
_MAX_LEARNED = 10_000_000  # ids; a larger size is probably a mistake and has to be given


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


class Features(Encoder):
    """Float channels, standardised with the mean and the standard deviation of the training split.

    Reads series of shape (T, D), or (T,) as (T, 1). A channel that is constant in training is only centred.

    Args:
        standardize: Whether to standardise; otherwise the channels stay unchanged.
        mean: The training mean of each channel; learned if None.
        std: The training standard deviation of each channel; learned if None.
    """

    kind = "features"

    def __init__(
        self, standardize: bool = True, mean: list[float] | None = None, std: list[float] | None = None
    ) -> None:
        if (mean is None) != (std is None) or (mean is not None and std is not None and len(mean) != len(std)):
            raise ValueError(f"mean={mean} and std={std} must be given together, one number per channel each")
        _check_statistics(mean or [], std or [])
        self.standardize = flag("standardize", standardize)
        self.mean = mean
        self.std = std

    @property
    def size(self) -> int:
        """D, the number of channels."""
        return len(require_fitted(self.mean, self, "mean"))

    @property
    def item_feature(self) -> Any:
        """The `datasets` feature of D channels."""
        return datasets.List(datasets.Value("float32"), length=self.size)

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the mean and the standard deviation of each channel of a column of series."""
        if self.mean is not None:
            return self
        count, mean, squares = 0, np.zeros(0), np.zeros(0)

        def finite_series(values: pa.Array) -> NDArray[np.float64]:
            return _read_finite_series(values, len(mean) or None)[0]

        for series in iter_column(dataset, column, finite_series):
            if len(series):
                count, mean, squares = _merge_moments(count, mean, squares, series)
        if not count:
            raise ValueError(f"column {column!r} contains no time step to learn from; give mean and std")
        std = _standard_deviation(count, mean, squares)
        if not self.standardize:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return type(self)(self.standardize, mean.tolist(), std.tolist())

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:  # noqa: ARG002
        """Standardise series; see the base class."""
        series, lengths = _read_finite_series(values, self.size)
        series = (series - np.array(self.mean)) / np.array(self.std)
        _require_float32(series, lengths, "is {} standardised,")
        frames = pa.FixedSizeListArray.from_arrays(pa.array(series.astype(np.float32).ravel()), self.size)
        return unflatten(frames, lengths)


class Values(Encoder):
    """Numbers to predict, per token or per sequence; they are not changed.

    The mean and the standard deviation are learned for the task, which predicts standardised values.

    Args:
        mean: The training mean; learned if None.
        std: The training standard deviation; learned if None, 1 if the values are constant.
    """

    kind = "value"
    size = 1
    item_feature = datasets.Value("float32")

    def __init__(self, mean: float | None = None, std: float | None = None) -> None:
        if (mean is None) != (std is None):
            raise ValueError(f"mean={mean} and std={std} must be given together")
        if mean is not None and std is not None:
            _check_statistics([mean], [std])
        self.mean = mean
        self.std = std

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the mean and the standard deviation of a column of numbers or lists of numbers."""
        if self.mean is not None:
            return self
        feature = dataset.features[column]
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        for numbers, _ in iter_column(dataset, column, lambda values: _read_finite_numbers(values, feature)):
            if len(numbers):
                count, mean, squares = _merge_moments(count, mean, squares, numbers[:, None])
        if not count:
            raise ValueError(f"column {column!r} contains no value to learn from; give mean and std")
        return type(self)(float(mean[0]), float(_standard_deviation(count, mean, squares)[0]))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check numbers, or lists of numbers; see the base class."""
        numbers, lengths = _read_finite_numbers(values, feature)
        array = pa.array(numbers.astype(np.float32))
        return array if lengths is None else unflatten(array, lengths)


def _check_statistics(mean: list[float], std: list[float]) -> None:
    """Check that values can be standardised, and that the numbers are float32's, in which tasks compute.

    Raises:
        ValueError: They cannot.
    """
    for center, scale in zip(mean, std, strict=True):
        if not (abs(center) <= _LARGEST and _SMALLEST <= scale <= _LARGEST):
            raise ValueError(
                f"mean={center:g} and std={scale:g} cannot standardise values in float32; give a finite mean and a "
                f"positive standard deviation, or scale the column: multiply it by a constant"
            )


def _require_float32(series: NDArray[np.float64], lengths: NDArray[np.int64], what: str = "is {}") -> None:
    """Check that values (N, D) of series are finite, in float32, too.

    Raises:
        RowError: At the first one that is not.
    """
    outside = ~(np.abs(series) <= _LARGEST)  # also true for NaN
    if outside.any():
        position, channel = (int(axis[0]) for axis in np.nonzero(outside))
        row, where = locate(position, lengths, "step")
        found = float(series[position, channel])
        raise RowError(row, f"channel {channel} {what.format(found)}{where}{_remedy(found)}")


def _remedy(found: float) -> str:
    """Say what to do about a number that is not finite in float32."""
    if np.isfinite(found):
        return ", which float32 cannot hold; scale the column, correct the value or drop the row"
    return "; fill it in or drop the row"


def _merge_moments(
    count: int, mean: NDArray[np.float64], squares: NDArray[np.float64], series: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the count, mean and sum of squared deviations of each channel, extended by ``series`` (n, D).

    The float64 update of Chan, Golub and LeVeque (1983) keeps its precision when the mean is large.
    """
    if not count:
        mean, squares = np.zeros(series.shape[1]), np.zeros(series.shape[1])
    new_mean = series.mean(axis=0)
    total = count + len(series)
    between = (new_mean - mean) ** 2 * (count * len(series) / total)
    squares = squares + ((series - new_mean) ** 2).sum(axis=0) + between
    return total, mean + (new_mean - mean) * (len(series) / total), squares


def _standard_deviation(count: int, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each channel, 1 for a constant channel."""
    std: NDArray[np.float64] = np.sqrt(squares / count)
    # Rounding of the mean makes the deviation of a constant channel slightly more than 0.
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    return std


def _read_ids(values: pa.Array, feature: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of all rows, concatenated, and the length of each row."""
    error = RowError(0, f"Ids reads lists of integers, not {feature}; use another encoder")
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


def _read_series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the steps of all series, concatenated to (N, D), and the length of each series."""
    depth, leaf = 0, values.storage.type if isinstance(values, pa.ExtensionArray) else values.type
    while is_list_type(leaf):
        depth, leaf = depth + 1, leaf.value_type
    if depth not in (1, 2) or not (pt.is_floating(leaf) or pt.is_integer(leaf) or pt.is_null(leaf)):
        raise RowError(
            0, f"Features reads series of numbers, (T, D) or (T,), not {values.type}; use another encoder"
        )
    array, lengths = flatten(values)
    require_values(array, lengths)
    channels, widths = flatten(array) if depth == 2 else (array, np.ones(len(array), dtype=np.int64))
    expected = size or int(widths[0]) if len(widths) else size or 0
    if (widths != expected).any():
        position = int(np.flatnonzero(widths != expected)[0])
        row, where = locate(position, lengths, "step")
        raise RowError(row, f"{widths[position]} channels{where}, expected {expected}; correct or drop the row")
    if channels.null_count:
        position = int(np.flatnonzero(channels.is_null().to_numpy(zero_copy_only=False))[0])
        row, where = locate(position // expected, lengths, "step")
        raise RowError(row, f"channel {position % expected} has no value (null){where}; fill it in or drop the row")
    return channels.to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(array), expected), lengths


def _read_finite_numbers(values: pa.Array, feature: Any) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the numbers of all rows, concatenated, and the length of each row if rows are lists."""
    lengths = None
    if is_list_feature(feature):
        values, lengths = flatten(values)
    require_values(values, lengths)
    if not (pt.is_floating(values.type) or pt.is_integer(values.type) or pt.is_boolean(values.type)):
        raise RowError(0, f"Values reads numbers or lists of numbers, not {feature}; use Labels for classes")
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    outside = ~(np.abs(numbers) <= _LARGEST)  # also true for NaN
    if outside.any():
        position = int(np.flatnonzero(outside)[0])
        row, where = locate(position, lengths)
        raise RowError(row, f"the target{where} is {numbers[position]}{_remedy(numbers[position])}")
    return numbers, lengths


def _read_finite_series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    series, lengths = _read_series(values, size)
    _require_float32(series, lengths)
    return series, lengths
