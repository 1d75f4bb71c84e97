"""Numbers: standardised features, values to predict."""

from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, require_fitted
from seqkit.data.encoders.columns import (
    flatten,
    is_list_feature,
    iter_column,
    leaf_feature,
    list_depth,
    locate,
    require_values,
    sum_segments,
    unflatten,
)
from seqkit.data.rows.arrow import is_list_type
from seqkit.data.rows.checks import RowError
from seqkit.options import flag

_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


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

    Reads a number for each sequence, or a list with one for each token. The mean and the standard deviation are
    learned for the task, which predicts standardised values.

    Args:
        mean: The training mean, of vectors one for each number; learned if None.
        std: The training standard deviation, likewise; learned if None, 1 if the values are constant.
        vectors: Whether each value is a vector of K numbers: a list for each sequence, or a list of lists.
    """

    kind = "value"

    def __init__(
        self,
        mean: float | list[float] | None = None,
        std: float | list[float] | None = None,
        vectors: bool = False,
    ) -> None:
        moments = [np.empty(0) if of is None else np.asarray(of, dtype=np.float64) for of in (mean, std)]
        if (mean is None) != (std is None) or moments[0].shape != moments[1].shape:
            raise ValueError(f"mean={mean} and std={std} must be given together, one number each")
        if mean is not None and isinstance(mean, list) != vectors:
            raise ValueError(f"mean={mean}, but vectors={vectors}; give a list for vectors, otherwise a number")
        _check_statistics(*(of.ravel().tolist() for of in moments))
        self.mean = mean
        self.std = std
        self.vectors = flag("vectors", vectors)
        self.value_depth = int(vectors)

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, including what was learned."""
        return {"mean": self.mean, "std": self.std} | ({"vectors": True} if self.vectors else {})

    @property
    def size(self) -> int:
        """1, or K, the numbers of a vector."""
        return len(require_fitted(self.mean, self, "mean")) if self.vectors else 1  # type: ignore[arg-type]

    @property
    def item_feature(self) -> Any:
        """The `datasets` feature of a number, or of K numbers."""
        number = datasets.Value("float32")
        return datasets.List(number, length=self.size) if self.vectors else number

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the mean and the standard deviation of a column of numbers or lists of numbers."""
        if self.mean is not None:
            return self
        feature = dataset.features[column]
        count, mean, squares = 0, np.zeros(0), np.zeros(0)

        def finite_values(values: pa.Array) -> NDArray[np.float64]:
            if self.vectors:
                return _read_finite_vectors(values, feature, len(mean) or None)[0]
            return _read_finite_numbers(values, feature)[0][:, None]

        for values in iter_column(dataset, column, finite_values):
            if len(values):
                count, mean, squares = _merge_moments(count, mean, squares, values)
        if not count:
            raise ValueError(f"column {column!r} contains no value to learn from; give mean and std")
        std = _standard_deviation(count, mean, squares)
        if self.vectors:
            return type(self)(mean.tolist(), std.tolist(), vectors=True)
        return type(self)(float(mean[0]), float(std[0]))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Check numbers or vectors, or lists of them; see the base class."""
        if self.vectors:
            vectors, lengths = _read_finite_vectors(values, feature, self.size)
            array = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), self.size)
        else:
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


def _read_series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the steps of all series, concatenated to (N, D), and the length of each series."""
    depth, leaf = 0, values.storage.type if isinstance(values, pa.ExtensionArray) else values.type
    while is_list_type(leaf):
        depth, leaf = depth + 1, leaf.value_type
    if depth not in (1, 2) or not (pt.is_floating(leaf) or pt.is_integer(leaf) or pt.is_null(leaf)):
        raise RowError(
            0,
            f"Features reads series of numbers, (T, D) or (T,), not {values.type}; give such values, or use "
            f"another encoder",
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


def _read_finite_vectors(
    values: pa.Array, feature: Any, size: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the vectors of all rows (N, K), and the number of vectors of each row if rows are lists of them."""
    if list_depth(feature) not in (1, 2):
        raise RowError(
            0,
            f"Values with vectors=True reads lists of numbers, or lists of these, not {feature}; leave out vectors",
        )
    lengths = None
    if list_depth(feature) == 2:
        values, lengths = flatten(values)
        require_values(values, lengths)
    numbers, widths = flatten(values)
    expected = size or (int(widths[0]) if len(widths) else 0)
    for position in np.flatnonzero((widths != expected) | (widths == 0))[:1]:
        row, where = locate(int(position), lengths)
        raise RowError(
            row,
            f"the target{where} has {widths[position]} numbers, expected {expected or 1}; correct or drop the row",
        )
    # The row of a number in the error of a null or of an infinite one.
    counts = widths if lengths is None else sum_segments(widths, lengths)
    row_lists = pa.ListArray.from_arrays(pa.array(np.append(0, counts.cumsum()), pa.int32()), numbers)
    found, _ = _read_finite_numbers(row_lists, datasets.List(leaf_feature(feature)))
    return found.reshape(-1, expected), lengths


def _read_finite_series(values: pa.Array, size: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    series, lengths = _read_series(values, size)
    _require_float32(series, lengths)
    return series, lengths
