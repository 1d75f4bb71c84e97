"""What the benchmarks share: options, timing in turns, a description of the machine, tables and JSON files."""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from seqkit.files import atomic_write

Key = TypeVar("Key", bound=Hashable)


def options(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option ``--output``; ``doc`` is the help text, shown as written."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    return parser


def in_turns(
    functions: Mapping[Key, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 1,
    order: np.random.Generator | None = None,
    device: str = "cpu",
) -> dict[Key, list[float]]:
    """Time functions in turns, so that a change of the machine's speed affects all of them.

    Args:
        functions: The contenders.
        rounds: Timed calls of each function.
        warm_up: Calls of each function before those, which are not counted.
        order: Draws the order of the functions in each round; by default it is always the given one.
        device: ``cuda`` waits for the GPU after each call.

    Returns:
        By function, the seconds of each timed call.
    """
    times: dict[Key, list[float]] = {key: [] for key in functions}
    keys = list(functions)
    for number in range(warm_up + rounds):
        turn = keys if order is None else [keys[i] for i in order.permutation(len(keys))]
        for key in turn:
            start = time.perf_counter()
            functions[key]()
            if device == "cuda":
                torch.cuda.synchronize()
            if number >= warm_up:
                times[key].append(time.perf_counter() - start)
    return times


def medians(times: Mapping[Key, Sequence[float]]) -> dict[Key, float]:
    """Return the median of each function's times."""
    return {key: statistics.median(values) for key, values in times.items()}


def matrix_product(**place: Any) -> tuple[Callable[[], object], int]:
    """Return a matrix product to time, and its floating-point operations.

    Args:
        place: ``device`` and ``dtype`` of the matrices.
    """
    a, b = torch.randn(1024, 512, **place), torch.randn(512, 2048, **place)
    c = torch.empty(1024, 2048, **place)
    return lambda: torch.mm(a, b, out=c), 2 * 1024 * 512 * 2048


def setting(*packages: str) -> dict[str, Any]:
    """Describe the run: the processor, the number of threads and the versions of packages, if installed."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"machine": _processor(), "threads": torch.get_num_threads(), "versions": versions}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns except the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_json(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, if there is a path."""
    if path is not None:
        with atomic_write(path) as file:
            file.write_text(json.dumps(record, indent=1))


def _processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
