"""Gathers of wide values into packed order by compiled code, if the package was built with a compiler."""

import numpy as np

from seqkit.kernels import load_library


def gather(items: np.ndarray, begins: np.ndarray, batch_sizes: np.ndarray, width: int) -> np.ndarray | None:
    """Gather values of ``width`` items each into packed order.

    Args:
        items: One-dimensional; the values of a sequence are contiguous.
        begins: (B,) int64, the index of each sequence's first item, longest sequence first.
        batch_sizes: (T,) int64, as in a PackedSequence.
        width: Items of a value.

    Returns:
        (N, width) of the items' dtype, or None if there is no compiled code.
    """
    library = load_library("gather")
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
