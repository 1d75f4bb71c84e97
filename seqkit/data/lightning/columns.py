"""Columns and what they are used for, by the data spec."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqkit.data.encoders import Encoder, check_spec, encoder_classes, is_vector
from seqkit.data.rows.lengths import lengths
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.options import instance, names, near

Columns = str | Sequence[str] | dict[str, Encoder | None]


NamedColumns = dict[str, Encoder | None]


def name_columns(
    inputs: Columns | None, targets: Columns | None, spec: Any
) -> tuple[NamedColumns | None, NamedColumns | None]:
    """Return the inputs and the targets as dicts from name to encoder, with None for the default encoder.

    Raises:
        TypeError: The columns are no names, an encoder is not one, or the data spec has another type.
        ValueError: A column is named twice, or is not in the data spec; there is no input; the spec is not one.
    """
    named = _name_columns("inputs", inputs), _name_columns("targets", targets)
    if spec is not None:
        check_spec(spec)
        for group, columns in zip(("inputs", "targets"), named, strict=True):
            for name in columns or ():
                if name not in spec[group]:
                    raise ValueError(
                        f"{group}: {name!r} is not in the data spec, which has {list(spec[group])}"
                        f"{near(name, spec[group])}; leave {group} out, or learn a spec"
                    )
    elif not named[0]:
        raise ValueError(f"inputs={inputs!r}: name a column to learn from, or give a `spec`")
    for name in named[1] or ():
        if name in (named[0] or ()):
            raise ValueError(
                f"{name!r} is an input and a target; give the input another name and the column to its encoder, "
                f'such as inputs={{"{name}_input": Words(column="{name}")}}'
            )
    return named


def _name_columns(group: str, columns: Columns | None) -> NamedColumns | None:
    if columns is None:
        return None
    if not isinstance(columns, dict):
        return dict.fromkeys(names(group, columns))
    names(group, columns.keys())
    for name, encoder in columns.items():
        instance(f"{group}[{name!r}]", encoder, Encoder)
    return columns


def allowed_encoders(
    inputs: NamedColumns | None, targets: NamedColumns | None, spec: Any, trust: str | Sequence[str]
) -> set[type[Encoder]]:
    """Return the classes of the encoders that are given as objects, and of those that a checked spec names.

    Raises:
        ValueError: The spec names no encoder, or one of a module that is not trusted.
    """
    given = [*(inputs or {}).values(), *(targets or {}).values()]
    named = [] if spec is None else encoder_classes(spec, trust)
    return {type(encoder) for encoder in given if encoder is not None}.union(named)


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
