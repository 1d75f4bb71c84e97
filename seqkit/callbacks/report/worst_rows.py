"""Find the rows with the largest loss and print them."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from seqkit.tasks import RowReport, SequenceModule, TaskOutput

_CELL_WIDTH = 72  # characters


class WorstRow(NamedTuple):
    """A row and its loss.

    Attributes:
        loss: The mean loss per unit.
        row: The dataset row.
        report: The task's description.
    """

    loss: float
    row: int
    report: RowReport


class WorstRows:
    """The rows with the largest mean loss per unit; of rows with equal losses, the first in the dataset.

    Args:
        task: The task that scores the rows.
        count: How many rows to keep.
    """

    def __init__(self, task: SequenceModule, count: int) -> None:
        self._task = task
        self.count = count
        self.rows: list[WorstRow] = []

    def update(self, rows: Sequence[int], output: TaskOutput) -> None:
        """Add a batch: its dataset rows and its output. A piece of continuous text has no rows and adds none."""
        losses = self._task.sequence_losses(output).nan_to_num(nan=float("inf")).tolist()
        places = sorted(range(len(losses)), key=lambda i: (-losses[i], rows[i]))[: self.count]
        if len(self.rows) == self.count:  # describe only the rows that enter
            places = [i for i in places if losses[i] >= self.rows[-1].loss]
        if places:
            reports = self._task.describe_rows(output, places)
            self.merge(WorstRow(losses[i], rows[i], report) for i, report in zip(places, reports, strict=True))

    def merge(self, others: Iterable[WorstRow]) -> None:
        """Add rows of a batch or of another rank."""
        self.rows = sorted([*self.rows, *others], key=lambda row: (-row.loss, row.row))[: self.count]

    def lines(self) -> list[dict[str, Any]]:
        """Return the rows in plain types, worst first."""
        return [{"row": row.row, "loss": row.loss} | row.report.fields for row in self.rows]

    def table(self, inputs: Sequence[dict[str, Any]]) -> Table:
        """Format one row each, worst first.

        Args:
            inputs: The inputs of each row by column, the main one first, as in the dataset; none of a stream.
        """
        made = Table(title=f"the {len(self.rows)} worst rows by loss")
        made.add_column("row", justify="right")
        made.add_column("loss", justify="right")
        made.add_column(self._task.summary_title)
        made.add_column("input")
        for row, columns in zip(self.rows, inputs, strict=True):
            summary = row.report.summary
            if summary is None:
                summary = _differences(row.report.fields, next(iter(columns.values()), None))
            made.add_row(str(row.row), f"{row.loss:.3f}", _shortened(summary), _input_text(columns))
        return made


def _differences(fields: dict[str, Any], tokens: Any) -> str:
    """Write each token whose label is wrong, with both labels."""
    true, predicted = fields.get("true", []), fields.get("predicted", [])
    named = tokens if tokens is not None and len(tokens) == len(true) else range(len(true))
    return "; ".join(
        f"{token}: {label} → {other}"
        for token, label, other in zip(named, true, predicted, strict=True)
        if label != other and label is not None
    )


def _input_text(columns: dict[str, Any]) -> str:
    """Write the inputs of a row, one a line; the names of several are shown."""
    several = len(columns) > 1
    texts = ((f"{name}: " if several else "") + _text(values) for name, values in columns.items())
    return "\n".join(map(_shortened, texts))


def _text(values: Any) -> str:
    if values is None:
        return ""
    if isinstance(values, str):
        return values
    if values and isinstance(values[0], str):
        return " ".join(values)
    return f"{len(values)} steps"


def _shortened(text: str) -> str:
    return textwrap.shorten(text, _CELL_WIDTH, placeholder=" …")
