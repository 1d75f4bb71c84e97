"""What a task returns: predictions, outputs beside targets, and descriptions of rows."""

from typing import Any, NamedTuple

from seqkit.losses import Values


class Predictions(NamedTuple):
    """What ``predict_step`` returns.

    Attributes:
        rows: The dataset row of each sequence.
        columns: By name, one plain value or list for each sequence, in the order of ``rows``.
    """

    rows: list[int]
    columns: dict[str, list[Any]]


class TaskOutput(NamedTuple):
    """A batch's output for one target; ``test_step`` returns one for each target, by its column.

    Attributes:
        output: The model's output: packed, data (N, C), or (B, C).
        target: The target, likewise.
    """

    output: Values
    target: Values


class RowReport(NamedTuple):
    """What a report says about one row.

    Attributes:
        fields: By name, values of plain types for the report's file, such as ``predicted`` and ``true``.
        summary: A text for a table's cell; by default the callback compares ``predicted`` with ``true``.
    """

    fields: dict[str, Any]
    summary: str | None = None
