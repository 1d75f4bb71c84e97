"""Conversion of a row's values to arrays of numbers, and of arrays to tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqkit.data.rows.checks import RowError, contains_null, null_error


def to_array(value: Any, column: str, row: int) -> np.ndarray:
    """Return the value of one row as an array of numbers.

    Raises:
        RowError: If it contains a null, or values that are not numbers or not of one shape.
    """
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
        value = value.float()  # numpy has no bfloat16
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind in "biuf":
        return array
    if contains_null(value):
        raise null_error(column, row)
    if array.dtype == np.object_:
        raise RowError(
            row, "lists of different lengths within one sequence; every token needs the same shape", column
        )
    raise RowError(row, f"values of dtype {array.dtype}, not numbers; encode them first", column)


def to_tensor(values: np.ndarray, column: str) -> Tensor:
    """Return a tensor of int64 for integers, of float32 for floats and of bool for booleans.

    Raises:
        ValueError: If an integer does not fit int64, or a finite number does not fit float32.
    """
    if values.dtype == np.float32:
        return torch.from_numpy(values)
    if values.dtype.kind == "f":
        wide = torch.from_numpy(values)
        narrow = wide.to(torch.float32)
        if (outside := narrow.isinf() & wide.isfinite()).any():
            raise ValueError(
                f"column {column!r} contains {wide[outside][0].item()}, which float32 cannot hold; scale the column"
            )
        return narrow
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(
            f"column {column!r} contains {values.max()}, which does not fit int64; map it to smaller numbers"
        )
    return torch.from_numpy(values if values.dtype == np.bool_ else values.astype(np.int64, copy=False))
