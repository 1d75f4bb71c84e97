"""Time series in the ``.ts`` format of sktime and aeon."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqkit.data.sources.base import Source, parse_cached, split_paths
from seqkit.data.sources.lines import numbered_lines


class TimeSeries(Source):
    """Series of D channels of ``.ts`` files (https://www.aeon-toolkit.org: "Data formats"), optionally gzipped.

    Columns: ``series``, (T, D) float32, with NaN for missing values (``?``); ``label``, a `ClassLabel` with the
    names of the header, or float32 for ``@targetLabel true``. A file without labels has no column ``label``.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
    """

    def __init__(self, train: str | None = None, validation: str | None = None, test: str | None = None) -> None:
        self.paths = split_paths(train, validation, test)

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If the header is incomplete, or if a line has another number of channels, channels of
                different lengths, a value that is not a number, or an undeclared label; names file and line.
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
            splits[split] = parse_cached(read_series, [path], {}, features, split)
        return datasets.DatasetDict(splits)


class Header:
    """The header of a ``.ts`` file: lines of ``@`` tags.

    Attributes:
        labels: The class names, or None.
        target: Whether each series ends with a number to predict.
        dimensions: D, declared or counted in the first series.
        length: T of every series, if declared.

    Raises:
        ValueError: If there is no ``@data`` or no series after it, if a tag is malformed, or if the series have
            time stamps; names file and line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._tags: dict[str, tuple[int, list[str]]] = {}
        for number, line in _content_lines(path):
            if "data" in self._tags:
                first = line
                break
            if not line.startswith("@"):
                raise ValueError(f"{path}:{number}: a header line begins with @ or #, not {line[:40]!r}")
            name, *values = line[1:].split() or [""]
            self._tags[name.lower()] = number, values
        else:
            raise ValueError(f"{path}: " + ("no series after @data" if self._tags.get("data") else "no line @data"))

        if self._flag("timeStamps"):
            raise self._error("timeStamps", "series with time stamps are not supported; write values only")
        self.labels = self._tags["classlabel"][1][1:] if self._flag("classLabel") else None
        if self.labels == []:
            raise self._error("classLabel", "true must be followed by the labels; none is given")
        self.target = self._flag("targetLabel")
        if self.labels is not None and self.target:
            raise self._error("targetLabel", "@classLabel is true, too, but a series has one label; drop one tag")
        for label in self.labels or ():
            if (self.labels or []).count(label) > 1:
                raise self._error("classLabel", f"label {label!r} is declared twice")
        counts = (self._count("dimensions"), self._count("dimension"), 1 if self._flag("univariate") else None)
        declared = {count for count in counts if count is not None}
        if len(declared) > 1:
            raise ValueError(f"{path}: @univariate and @dimensions declare {sorted(declared)} channels; keep one")
        self.dimensions = declared.pop() if declared else len(self.split(first)[0])
        if not self.dimensions:
            raise ValueError(f"{path}: the first series has a label but no channel; write its values before it")
        self.length = self._count("seriesLength")

    def series(self) -> Iterator[tuple[int, list[str], str]]:
        """Yield line number, channels and label of each series, as text."""
        data = self._tags["data"][0]
        for number, line in _content_lines(self.path):
            if number > data:
                yield number, *self.split(line)

    def split(self, line: str) -> tuple[list[str], str]:
        """Return a line's channels and its label, which is "" if the file has none."""
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
        if not value.isdecimal() or not int(value):
            raise self._error(tag, f"expected a whole number of at least 1, found {value!r}")
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
        series.append(_parse_series(path, number, channels))
        if header.length is not None and len(series[-1]) != header.length:
            raise ValueError(
                f"{path}:{number}: a series of length {len(series[-1])}, but @seriesLength is {header.length}"
            )
        if header.labels is not None:
            if label not in header.labels:
                known = " ".join(header.labels)
                raise ValueError(f"{path}:{number}: label {label!r} is not declared by @classLabel ({known})")
            labels.append(header.labels.index(label))
        elif header.target:
            labels.append(_parse_number(path, number, label))
    offsets = np.cumsum([0, *map(len, series)], dtype=np.int32)
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(series).ravel()), header.dimensions)
    columns: dict[str, Any] = {"series": pa.ListArray.from_arrays(pa.array(offsets), values)}
    return {**columns, "label": labels} if labels else columns


def _content_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of the lines that are neither empty nor comments."""
    for number, line in numbered_lines(path):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _parse_number(path: str | Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{path}:{line}: expected a number, found {text!r}") from None


def _parse_series(path: str | Path, line: int, channels: list[str]) -> NDArray[np.float32]:
    """Parse one series, (T, D), from the text of its channels."""
    rows = []
    for channel, text in enumerate(channels):
        values = text.replace("?", "nan").split(",")
        try:
            rows.append(np.array(values, dtype=np.float32))
        except ValueError:
            rows.append(np.array([_parse_number(path, line, value) for value in values], dtype=np.float32))
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"{path}:{line}: channel {channel} has {len(rows[-1])} values, channel 0 has {len(rows[0])}; the"
                " channels of a series must have the same length"
            )
    return np.stack(rows, axis=1)
