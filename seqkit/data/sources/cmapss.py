"""NASA's C-MAPSS turbofan engines."""

from math import isfinite
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqkit.data.sources.base import Source, parse_cached, split_paths
from seqkit.data.sources.lines import numbered_lines
from seqkit.options import optional_integer

CHANNELS = 24  # 3 operational settings and 21 sensors


class CMAPSS(Source):
    """Sensor series of turbofan engines and their remaining useful life (Saxena and others, PHM 2008).

    One row per engine: ``unit``, its number; ``channels``, (T, 24) float32, 3 operational settings and 21 sensors
    per cycle; ``rul``, (T,) float32, the number of remaining cycles, at most ``cap``. Training engines run to
    failure. Test engines stop earlier; the file ``rul`` gives the number of cycles that each of them had left.

    A bidirectional model sees where a training series, and thus the engine's life, ends: use one direction.

    Args:
        train: ``train_FD00x.txt``, optionally gzipped.
        test: ``test_FD00x.txt``.
        rul: ``RUL_FD00x.txt``, one number per test engine. Without it the test split has no column ``rul``.
        cap: The largest remaining life to predict, in cycles, because wear is not visible earlier. None: no cap.
    """

    def __init__(
        self,
        train: str | None = None,
        test: str | None = None,
        rul: str | None = None,
        *,
        cap: int | None = 125,
    ) -> None:
        self.paths = split_paths(train=train, test=test)
        self.rul = rul
        self.cap = optional_integer("cap", cap, 1)

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If a line does not have 26 finite numbers, an engine's number is a fraction or occurs again
                after another engine, its cycles have a gap, or the number of remaining lives differs from the
                number of engines; names file and line.
        """
        splits = {}
        for split, path in self.paths.items():
            channels = datasets.List(datasets.Value("float32"), length=CHANNELS)
            features = datasets.Features({"unit": datasets.Value("int32"), "channels": datasets.List(channels)})
            if split == "train" or self.rul:
                features["rul"] = datasets.List(datasets.Value("float32"))
            paths = [path, self.rul] if split == "test" and self.rul else [path]
            options = {"cap": self.cap, "run_to_failure": split == "train"}
            splits[split] = parse_cached(read_engines, paths, options, features, split)
        return datasets.DatasetDict(splits)


def read_engines(
    path: str | Path, rul_path: str | Path | None = None, *, cap: int | None, run_to_failure: bool
) -> dict[str, Any]:
    """Return the columns of one file of engines. See `CMAPSS`."""
    cycles: list[NDArray[np.float32]] = []
    engines: list[int] = []
    seen: set[float] = set()
    lengths: list[int] = []
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        unit, cycle, *values = _parse_numbers(path, number, line, 2 + CHANNELS)
        if not engines or unit != engines[-1]:
            if not (unit.is_integer() and 0 <= unit < 2**31):
                raise ValueError(f"{path}:{number}: engine {unit!r} is not a whole number; correct the file")
            if unit in seen:
                raise ValueError(
                    f"{path}:{number}: engine {int(unit)} occurs again, after engine {engines[-1]}; sort the file, "
                    f"so that an engine's lines follow each other, or give the engines different numbers"
                )
            seen.add(unit)
            engines.append(int(unit))
            lengths.append(0)
        lengths[-1] += 1
        if cycle != lengths[-1]:
            raise ValueError(
                f"{path}:{number}: engine {int(unit)} has cycle {cycle:g}, expected {lengths[-1]}; lines are"
                " missing or out of order"
            )
        cycles.append(np.array(values, dtype=np.float32))
    if not engines:
        raise ValueError(f"{path}: no engine in this file")
    offsets = pa.array(np.cumsum([0, *lengths], dtype=np.int32))
    channels = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(cycles)), CHANNELS)
    columns = {"unit": engines, "channels": pa.ListArray.from_arrays(offsets, channels)}
    if rul_path is None and not run_to_failure:
        return columns

    remaining = [0.0] * len(engines) if rul_path is None else _read_remaining(rul_path, len(engines))
    rul = np.concatenate(
        [np.arange(steps - 1, -1, -1) + end for steps, end in zip(lengths, remaining, strict=True)]
    )
    rul = np.minimum(rul, np.inf if cap is None else cap).astype(np.float32)
    return {**columns, "rul": pa.ListArray.from_arrays(offsets, pa.array(rul))}


def _read_remaining(path: str | Path, engines: int) -> list[float]:
    lives = [_parse_numbers(path, number, line, 1)[0] for number, line in numbered_lines(path) if line.strip()]
    if len(lives) != engines:
        raise ValueError(
            f"{path}: {len(lives)} remaining lives for {engines} engines; use the file of the same set"
        )
    return lives


def _parse_numbers(path: str | Path, number: int, line: str, count: int) -> list[float]:
    fields = line.split()
    if len(fields) != count:
        raise ValueError(f"{path}:{number}: {len(fields)} columns, expected {count}; is the file truncated here?")
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise ValueError(f"{path}:{number}: {error}; correct the line") from None
    for column, value in enumerate(numbers, start=1):
        if not isfinite(value):
            raise ValueError(f"{path}:{number}: column {column} is {value}; give a finite number, or drop the line")
    return numbers
