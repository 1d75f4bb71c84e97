"""Wide values to packed order in compiled code, where the package was built with a compiler (`gather.cpp`)."""

import ctypes
import functools
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np


@functools.cache
def compiled() -> ctypes.CDLL | None:
    """The library, or None where it was not built; everything works without it, only slower."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_gather{suffix}")
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
            except OSError:  # built against a runtime that is no longer there
                return None
            number, address = ctypes.c_int64, ctypes.c_void_p
            library.seqkit_gather.argtypes = [address, number, number, address, address, number, address]
            library.seqkit_gather.restype = None
            return library
    return None


def gather(items: np.ndarray, begins: np.ndarray, batch_sizes: np.ndarray, width: int) -> np.ndarray | None:
    """Values of ``width`` items each, in packed order.

    Args:
        items: One-dimensional; the values of a sequence lie one after the other.
        begins: (B,) int64, the item with which each sequence begins, longest sequence first.
        batch_sizes: (T,) int64, as in a PackedSequence.
        width: Items of a value.

    Returns:
        (N, width) of the items' dtype; None where there is no compiled code.
    """
    library = compiled()
    if library is None:
        return None
    out = np.empty((batch_sizes.sum(), width), items.dtype)
    size = items.dtype.itemsize
    library.seqkit_gather(
        items.ctypes.data,
        size,
        width * size,
        begins.ctypes.data,
        batch_sizes.ctypes.data,
        len(batch_sizes),
        out.ctypes.data,
    )
    return out
