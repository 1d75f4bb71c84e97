"""What the benchmarks share: options, data files, timing in turns, a description of the run, JSON files."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from seqkit import kernels
from seqkit.files import atomic_write

Key = TypeVar("Key", bound=Hashable)

ROOT = Path(__file__).parents[2]
NOT_CODE = [":!examples/benchmarks/results", ":!docs", ":!*.md", ":!tests"]  # a change of these changes no figure


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


def find(folder: Path, name: str) -> Path:
    """Return a file of a folder or its subfolders, also if it is gzipped (``name.gz``).

    Raises:
        FileNotFoundError: There is no such file.
    """
    found = sorted([*folder.rglob(name), *folder.rglob(f"{name}.gz")])
    if not found:
        raise FileNotFoundError(f"neither {name} nor {name}.gz in {folder} or its subfolders")
    return found[0]


def setting(*packages: str) -> dict[str, Any]:
    """Describe the run, as plain types.

    Args:
        packages: Packages whose versions are of interest, besides torch and Lightning.

    Returns:
        The ``machine``, the ``instruction set`` that compiled code is chosen by, the ``kernels`` of the recurrent
        layers, the number of physical ``cores`` and of ``CPUs``, torch's ``threads``, the ``versions`` of the
        packages that are installed, and the ``commit`` of the code: see :func:`code_commit`.
    """
    versions = {"python": platform.python_version()}
    for package in ("torch", "lightning", *packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": _processor(),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "kernels": kernels.choose(torch.device("cpu"), torch.float32),
        "cores": _physical_cores(),
        "CPUs": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": versions,
        "commit": code_commit(),
    }


def code_commit() -> str | None:
    """Return the last commit that changed code, with " + changes" if files differ; None outside a checkout.

    Results, pages, pictures and tests are no code: a commit of theirs leaves all figures valid.
    """
    if not (ROOT / ".git").exists():
        return None
    commit = _git("log", "-1", "--format=%h", "--abbrev=10", "--", ".", *NOT_CODE)
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *NOT_CODE)
    return f"{commit} + changes" if commit and changes else commit


def write_json(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, if there is a path."""
    if path is not None:
        with atomic_write(path) as file:
            file.write_text(json.dumps(record, indent=1))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpuinfo(key: str) -> list[str]:
    """Return the values of a key for each CPU; none where the system has no such file."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def _processor() -> str:
    return next(iter(_cpuinfo("model name")), platform.processor() or platform.machine())


def _physical_cores() -> int | None:
    cores = set(zip(_cpuinfo("physical id"), _cpuinfo("core id"), strict=True))
    return len(cores) or None
