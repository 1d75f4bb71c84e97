"""Compiled code: find the library for this CPU, check that it was built from this source, and load it.

Wheels contain the libraries. An installation from source builds them from ``csrc`` if there is a compiler. They
are plain C functions on raw pointers and work with every version of Python and torch.
"""

import ctypes
import functools
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from seqkit.kernels.library_files import library_file, source_hash
from seqkit.upstream.torch import openmp_entry

log = logging.getLogger(__name__)

Library = Literal["sweeps", "gather"]
USERS: dict[Library, str] = {"sweeps": "recurrent layers and CRFs", "gather": "gathers of wide values"}

_PROCESS = os.getpid()  # OpenMP does not work in a process that is forked from this one
REMEDY = "Reinstall seqkit, from a wheel or with a C++ compiler"

FOLDER = Path(__file__).parent
VARIANTS = {"AVX512": ("avx512", "avx2", "plain"), "AVX2": ("avx2", "plain")}  # by torch's name; ARM has others

_INT, _POINTER = ctypes.c_int64, ctypes.c_void_p
_LAYER = [ctypes.c_int, _INT, _INT, _INT, _INT, _POINTER, ctypes.c_int]  # cell, T, B, H, D, batch sizes, threads
_CRF = [_INT, _INT, _INT, _POINTER, ctypes.c_int]  # T, B, C, batch sizes, threads
FUNCTIONS: dict[Library, dict[str, list[type]]] = {
    "sweeps": {
        "seqkit_use_openmp": [_POINTER],
        "seqkit_rnn_forward": [*_LAYER, _INT, *[_POINTER] * 24],
        "seqkit_rnn_backward": [*_LAYER, *[_POINTER] * 25],
        "seqkit_crf_forward": [*_CRF, *[_POINTER] * 6],
        "seqkit_crf_backward": [*_CRF, *[_POINTER] * 6],
        "seqkit_crf_viterbi": [*_CRF, *[_POINTER] * 6],
    },
    "gather": {"seqkit_gather": [_POINTER, _INT, _INT, _POINTER, _POINTER, _INT, _POINTER]},
}


class CompiledLibrary(ctypes.CDLL):
    """A library and its ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


@functools.cache
def load_library(name: Library) -> CompiledLibrary | None:
    """Load a library in the widest variant that was built and that this CPU runs.

    Args:
        name: ``sweeps`` (recurrent layers and CRF, one variant for each vector width) or ``gather``.

    Returns:
        The library, or None if there is none: the callers then run in Python. Logs the choice once.

    Warns:
        RuntimeWarning: A library cannot be loaded or was built from other source, and is not used.
    """
    variants = VARIANTS.get(torch.backends.cpu.get_cpu_capability(), ("plain",))
    files = [f"sweeps_{variant}" for variant in variants] if name == "sweeps" else ["gather"]
    for path in (FOLDER / library_file(file) for file in files):
        if path.exists():
            try:
                library = _open(path, name)
            except (OSError, AttributeError, ValueError) as error:
                warnings.warn(
                    f"{path} is not used: {error}. {REMEDY}; until then {USERS[name]} "
                    "run in another variant, or in Python if there is none",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            log.info("Compiled code for %s: %s.", USERS[name], path.name)
            return library
    log.info("No compiled code for %s: they run in Python. %s.", USERS[name], REMEDY)
    return None


def _open(path: Path, name: Library) -> CompiledLibrary:
    library = CompiledLibrary(path)
    library.seqkit_source.argtypes, library.seqkit_source.restype = [], ctypes.c_uint64
    built_from, expected = library.seqkit_source(), source_hash()
    if built_from != expected:
        raise ValueError(f"it was built from source {built_from:x}, but this is source {expected:x}")
    for function, arguments in FUNCTIONS[name].items():
        declared = getattr(library, function)
        declared.argtypes, declared.restype, declared.errcheck = arguments, ctypes.c_int, _check
    if name == "sweeps" and os.getpid() == _PROCESS:
        library.seqkit_use_openmp(openmp_entry())
    return library


def _check(code: int, function: Any, _arguments: tuple[Any, ...]) -> None:
    if code:
        raise MemoryError(f"{function.__name__} needs more memory than there is; use smaller batches")
