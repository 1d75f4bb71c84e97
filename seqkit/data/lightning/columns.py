"""Columns and what they are used for, by the data spec."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqkit.data.encoders import Encoder, is_vector
from seqkit.data.rows.lengths import lengths
from seqkit.data.rows.packed_rows import RaggedRows

Columns = str | Sequence[str] | dict[str, Encoder | None]


def name_columns(columns: Columns | None) -> dict[str, Encoder | None] | None:
    """Return columns as a dict from name to encoder, with None for the default encoder."""
    if columns is None or isinstance(columns, dict):
        return columns
    return dict.fromkeys([columns] if isinstance(columns, str) else columns)


def unaligned_inputs(spec: Mapping[str, Any]) -> list[str]:
    """Return the input columns whose sequences have lengths of their own."""
    return [column for column, entry in spec["inputs"].items() if entry.get("unaligned")]


def row_lengths(rows: RaggedRows, spec: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """Return the lengths (rows, columns) of the main input and the unaligned inputs; 0 if one sequence is empty."""
    unaligned = (lengths(rows.dataset, column) for column in unaligned_inputs(spec))
    counts: npt.NDArray[np.int64] = np.stack([rows.lengths, *unaligned], axis=1)
    counts[(counts == 0).any(1)] = 0  # a row with an empty sequence counts as empty
    return counts


def column_roles(spec: Mapping[str, Any], overlong: str, *, with_targets: bool) -> dict[str, Any]:
    """Return the column arguments of :class:`~seqkit.data.RaggedRows` and :class:`~seqkit.data.PackedStream`.

    Args:
        spec: The data spec.
        overlong: How over-long rows are treated.
        with_targets: Whether the target columns are read.

    Raises:
        ValueError: Over-long rows are to be truncated, but a column has sequences with lengths of their own.
    """
    inputs, targets = spec["inputs"], spec["targets"] if with_targets else {}
    vectors = [column for column, entry in targets.items() if is_vector(entry)]
    labels = [column for column, entry in targets.items() if entry["per"] == "unaligned"]
    unaligned = [*unaligned_inputs(spec), *labels]
    if unaligned and overlong == "truncate":
        what = "label" if unaligned == labels else "unaligned"
        raise ValueError(
            f'overlong="truncate" would cut the inputs but not the {what} sequences in {unaligned[0]!r}; set '
            f'it to "drop", "solo" or "raise"'
        )
    return {
        "inputs": list(inputs),
        "targets": [column for column in targets if column not in vectors],
        "sequence_targets": vectors,
        "nested": [column for column, entry in inputs.items() if entry["kind"] == "nested"],
        "unaligned": unaligned,
    }
