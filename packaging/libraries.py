"""The compiled libraries: their sources and flags. ``setup.py`` and ``build_wheels.py`` read this file."""

import runpy
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CSRC = "seqkit/kernels/csrc"

_FILES = runpy.run_path(str(ROOT / "seqkit/kernels/library_files.py"))
library_file = _FILES["library_file"]
SOURCE = ("SEQKIT_SOURCE", f"{_FILES['source_hash']()}ULL")  # a macro

FLAGS = ["-O3", "-std=c++17", "-fvisibility=hidden", "-fvisibility-inlines-hidden"]
SWEEP_FLAGS = [
    "-pthread",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-maybe-uninitialized",
]
LINK_FLAGS = {"linux": ["-pthread", "-Wl,--version-script=packaging/exports.map"]}  # by platform
VARIANTS = {  # by instruction set, the features that the compiler may use
    "avx512": ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"],
    "avx2": ["avx2", "fma"],
    "plain": [],
}
X86 = {"x86_64", "amd64"}


class Library(NamedTuple):
    """A library: its name for ``library_file``, sources below the root, flags, and features of the processor."""

    name: str
    sources: list[str]
    flags: list[str]
    features: list[str]


def libraries(machine: str) -> list[Library]:
    """Return the libraries for a processor, which is named as ``platform.machine`` does."""
    variants = VARIANTS if machine.lower() in X86 else {"plain": VARIANTS["plain"]}
    sweeps = [f"{CSRC}/{name}.cpp" for name in ("rnn", "crf", "pool")]
    return [
        *(Library(f"sweeps_{name}", sweeps, FLAGS + SWEEP_FLAGS, features) for name, features in variants.items()),
        Library("gather", [f"{CSRC}/gather.cpp"], FLAGS, []),
    ]
