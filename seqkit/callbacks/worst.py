"""The sequences with the largest loss."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from rich.table import Table
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.losses import Values
from seqkit.tasks.base import Task
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.labels import LabelTask
from seqkit.tasks.steps import Outcome

_EXCERPT = 72  # characters of a cell


class WorstRows:
    """The rows with the largest mean loss a unit, over all batches; of equal ones the first in the dataset.

    Args:
        head: The task.
        count: How many.
    """

    def __init__(self, head: Task, count: int) -> None:
        self._head = head
        self.count = count
        self.lines: list[dict[str, Any]] = []

    def update(self, rows: Sequence[int], outcome: Outcome) -> None:
        """Take in a batch's rows."""
        losses = self._head.sequence_losses(outcome).nan_to_num(nan=torch.inf).tolist()
        order = sorted(range(len(rows)), key=lambda i: (-losses[i], rows[i]))[: self.count]
        if len(self.lines) == self.count:  # only what would enter is decoded
            order = [i for i in order if losses[i] >= self.lines[-1]["loss"]]
        if not order:
            return
        predicted = _of(self._head.decode(outcome.output), order)
        true = _of(outcome.target, order)
        for i, own, truth in zip(order, predicted, true, strict=True):
            self.lines.append(
                {
                    "row": rows[i],
                    "loss": losses[i],
                    "predicted": _plain(self._head, own),
                    "true": _plain(self._head, truth),
                }
            )
        self._keep()

    def merge(self, others: "Iterable[WorstRows]") -> None:
        """Take in what other ranks found."""
        for other in others:
            self.lines.extend(other.lines)
        self._keep()

    def table(self, inputs: Sequence[Any]) -> Table:
        """A line each, worst first.

        Args:
            inputs: The main input of each, as in the dataset, or None.
        """
        made = Table(title=f"the {len(self.lines)} worst rows by loss")
        for name, side in (("row", "right"), ("loss", "right"), ("true → predicted", "left"), ("input", "left")):
            made.add_column(name, justify=side)  # type: ignore[arg-type]
        for line, values in zip(self.lines, inputs, strict=True):
            shown = _differences(line["true"], line["predicted"], values)
            made.add_row(str(line["row"]), f"{line['loss']:.3f}", _short(shown), _short(_text(values)))
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "lines": self.lines}

    def _keep(self) -> None:
        self.lines.sort(key=lambda line: (-line["loss"], line["row"]))
        del self.lines[self.count :]


def _of(values: Values, places: Sequence[int]) -> list[Any]:
    """Some of a batch's sequences: their tokens' values (L, ...), or their own (1, ...)."""
    if isinstance(values, PackedSequence):
        each = packed.unpack(values)
        return [each[i] for i in places]
    return [values[i : i + 1] for i in places]


def _plain(head: Task, values: Any) -> Any:
    """A sequence's values in plain types, None for a label that does not count."""
    if isinstance(head, Forecaster):
        return None  # its truth is the row itself
    if isinstance(head, LabelTask) and not head.multilabel:
        listed: list[Any] = [head.names[i] if i >= 0 else None for i in values.long().tolist()]
    else:
        listed = head.plain(values.reshape(len(values), -1))
    return listed[0] if head.target["per"] == "sequence" else listed


def _differences(true: Any, predicted: Any, values: Any) -> str:
    """What is wrong: of a sequence of labels the tokens that are, of a series of numbers the last one."""
    if true is None and predicted is None:
        return ""
    if not isinstance(true, list) or len(true) != len(predicted):
        return f"{_value(true)} → {_value(predicted)}"
    if true and isinstance(true[0], float):
        return f"… {_value(true[-1])} → {_value(predicted[-1])}"
    tokens = values if values is not None and len(values) == len(true) else range(len(true))
    wrong = [
        f"{token}: {_value(one)} → {_value(other)}"
        for token, one, other in zip(tokens, true, predicted, strict=True)
        if one != other and one is not None
    ]
    return "; ".join(wrong)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(values: Any) -> str:
    if values is None:
        return ""
    if isinstance(values, str):
        return values
    if values and isinstance(values[0], str):
        return " ".join(values)
    return f"{len(values)} steps"


def _short(text: str) -> str:
    return textwrap.shorten(text, _EXCERPT, placeholder=" …")
