"""Time series in the ``.ts`` format of sktime and aeon."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqkit.data.sources.base import Source, named_splits, parsed
from seqkit.data.sources.lines import numbered_lines


class TimeSeries(Source):
    """Series of D channels from ``.ts`` files (https://www.aeon-toolkit.org: "Data formats"), also gzipped.

    Columns: ``series``, (T, D) float32, missing values (``?``) as NaN; ``label``, a `ClassLabel` of the names that
    the header declares, or float32 under ``@targetLabel true``, absent where the file has neither.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
    """

    def __init__(self, train: str | None = None, validation: str | None = None, test: str | None = None) -> None:
        self.paths = named_splits(train, validation, test)

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: At a header that is incomplete; at a line with another number of channels, channels of
                different lengths, something that is no number, or an undeclared label; names file and line.
        """
        splits = {}
        for split, path in self.paths.items():
            header = Header(path)
            channels = datasets.List(datasets.Value("float32"), length=header.dimensions)
            features = datasets.Features({"series": datasets.List(channels)})
            if header.labels is not None:
                features["label"] = datasets.ClassLabel(names=header.labels)
            elif header.target:
                features["label"] = datasets.Value("float32")
            splits[split] = parsed(read_series, [path], {}, features, split)
        return datasets.DatasetDict(splits)


class Header:
    """What the ``@`` tags of a ``.ts`` file declare.

    Attributes:
        labels: The class names, or None.
        target: Whether each series ends with a number to predict.
        dimensions: D, declared or counted in the first series.
        length: T of every series, if declared.

    Raises:
        ValueError: If there is no ``@data`` or no series after it, if a tag is malformed, or if the series carry
            time stamps; names file and line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._tags: dict[str, tuple[int, list[str]]] = {}
        for number, line in _content(path):
            if "data" in self._tags:
                first = line
                break
            if not line.startswith("@"):
                raise ValueError(f"{path}:{number}: a header line begins with @ or #, not {line[:40]!r}")
            name, *values = line[1:].split()
            self._tags[name.lower()] = number, values
        else:
            raise ValueError(f"{path}: " + ("no series after @data" if self._tags.get("data") else "no line @data"))

        if self._flag("timeStamps"):
            raise self._error("timeStamps", "series with time stamps are not read; write plain values")
        self.labels = self._tags["classlabel"][1][1:] if self._flag("classLabel") else None
        if self.labels == []:
            raise self._error("classLabel", "true is followed by the labels; none stands here")
        self.target = self._flag("targetLabel")
        declared = 1 if self._flag("univariate") else self._count("dimensions") or self._count("dimension")
        self.dimensions = declared or len(self.split(first)[0])
        self.length = self._count("seriesLength")

    def series(self) -> Iterator[tuple[int, list[str], str]]:
        """Yield line number, channels and label of each series, as text."""
        data = self._tags["data"][0]
        for number, line in _content(self.path):
            if number > data:
                yield number, *self.split(line)

    def split(self, line: str) -> tuple[list[str], str]:
        """Return a line's channels and its label ("" if the file has none)."""
        parts = line.split(":")
        return (parts[:-1], parts[-1].strip()) if self.labels is not None or self.target else (parts, "")

    def _error(self, tag: str, message: str) -> ValueError:
        return ValueError(f"{self.path}:{self._tags[tag.lower()][0]}: @{tag}: {message}")

    def _flag(self, tag: str) -> bool:
        _, values = self._tags.get(tag.lower(), (0, ["false"]))
        value = values[0].lower() if values else ""
        if value not in ("true", "false"):
            raise self._error(tag, f"expected true or false, found {value!r}")
        return value == "true"

    def _count(self, tag: str) -> int | None:
        if tag.lower() not in self._tags:
            return None
        value = "".join(self._tags[tag.lower()][1])
        if not value.isdecimal():
            raise self._error(tag, f"expected a whole number, found {value!r}")
        return int(value)


def read_series(path: str | Path) -> dict[str, Any]:
    """Return the columns of a ``.ts`` file: ``series`` as an Arrow array, and ``label`` if it has one."""
    header = Header(path)
    series: list[NDArray[np.float32]] = []
    labels: list[int | float] = []
    for number, channels, label in header.series():
        if len(channels) != header.dimensions:
            raise ValueError(
                f"{path}:{number}: {len(channels)} channels, expected {header.dimensions}; channels"
                " (and the label after them) are separated by ':'"
            )
        series.append(_values(path, number, channels))
        if header.length is not None and len(series[-1]) != header.length:
            raise ValueError(
                f"{path}:{number}: a series of length {len(series[-1])}, but @seriesLength says {header.length}"
            )
        if header.labels is not None:
            if label not in header.labels:
                known = " ".join(header.labels)
                raise ValueError(f"{path}:{number}: label {label!r} is not one that @classLabel declares ({known})")
            labels.append(header.labels.index(label))
        elif header.target:
            labels.append(_number(path, number, label))
    offsets = np.cumsum([0, *map(len, series)], dtype=np.int32)
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(series).ravel()), header.dimensions)
    columns: dict[str, Any] = {"series": pa.ListArray.from_arrays(pa.array(offsets), values)}
    return {**columns, "label": labels} if labels else columns


def _content(path: str | Path) -> Iterator[tuple[int, str]]:
    for number, line in numbered_lines(path):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _number(path: str | Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{path}:{line}: expected a number, found {text!r}") from None


def _values(path: str | Path, line: int, channels: list[str]) -> NDArray[np.float32]:
    """Return one series, (T, D)."""
    rows = []
    for channel, text in enumerate(channels):
        values = text.replace("?", "nan").split(",")
        try:
            rows.append(np.array(values, dtype=np.float32))
        except ValueError:
            rows.append(np.array([_number(path, line, value) for value in values], dtype=np.float32))
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"{path}:{line}: channel {channel} has {len(rows[-1])} values, channel 0 has {len(rows[0])}; the"
                " channels of a series are equally long"
            )
    return np.stack(rows, axis=1)
