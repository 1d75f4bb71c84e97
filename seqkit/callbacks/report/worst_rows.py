"""The sequences with the largest loss."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from rich.table import Table
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.callbacks.report.text_tallies import shown
from seqkit.labels import UNKNOWN, nearest, split
from seqkit.losses import Values
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.ctc_recognizer import CTCRecognizer
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.language_model import LanguageModel
from seqkit.tasks.outputs import TaskOutput
from seqkit.tasks.tagger import Tagger
from seqkit.tasks.task import Task

Head = Task | LanguageModel
"""What predicts one column."""

_EXCERPT = 72  # characters of a cell


class WorstRows:
    """The rows with the largest mean loss a unit, over all batches; of equal ones the first in the dataset.

    Args:
        head: The task.
        count: How many.
    """

    def __init__(self, head: Head, count: int) -> None:
        self._head = head
        self.count = count
        self.lines: list[dict[str, Any]] = []

    def update(self, rows: Sequence[int], outcome: TaskOutput) -> None:
        """Take in a batch's rows; a piece of continuous text has none."""
        if isinstance(self._head, LanguageModel) and not isinstance(outcome.output, PackedSequence):
            return
        losses = self._head.sequence_losses(outcome).nan_to_num(nan=torch.inf).tolist()
        order = sorted(range(len(rows)), key=lambda i: (-losses[i], rows[i]))[: self.count]
        if len(self.lines) == self.count:  # only what would enter is decoded
            order = [i for i in order if losses[i] >= self.lines[-1]["loss"]]
        if not order:
            return
        found = _said(self._head, outcome, order)
        self.lines.extend({"row": rows[i], "loss": losses[i]} | said for i, said in zip(order, found, strict=True))
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
        what = "costliest tokens" if isinstance(self._head, LanguageModel) else "true → predicted"
        for name, side in (("row", "right"), ("loss", "right"), (what, "left"), ("input", "left")):
            made.add_column(name, justify=side)  # type: ignore[arg-type]
        for line, values in zip(self.lines, inputs, strict=True):
            if isinstance(self._head, LanguageModel):
                text = _costliest(line["tokens"], line["nats"])
            elif isinstance(self._head, CTCRecognizer):
                text = f"{_joined(line['true'])} → {_joined(line['predicted'])}"
            else:
                text = _differences(line["true"], line["predicted"], values)
            made.add_row(str(line["row"]), f"{line['loss']:.3f}", _short(text), _short(_text(values)))
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "lines": self.lines}

    def _keep(self) -> None:
        self.lines.sort(key=lambda line: (-line["loss"], line["row"]))
        del self.lines[self.count :]


def _said(head: Head, outcome: TaskOutput, places: Sequence[int]) -> list[dict[str, Any]]:
    """Of some of a batch's sequences what was predicted and true, or each token's nats, in plain types."""
    if isinstance(head, LanguageModel):
        each = zip(_of(outcome.target, places), _of(outcome.output, places), strict=True)
        return [{"tokens": head.token_names(ids.tolist()), "nats": nats.tolist()} for ids, nats in each]
    if isinstance(head, CTCRecognizer):
        found = split(head.decode(packed.pack(_of(outcome.output, places))))
        wanted, _ = nearest(found, split(packed.pack(_of(outcome.target, places))))
        names = dict(enumerate(head.names)) | {UNKNOWN: None}
        sides = (
            [[names[i] for i in one.tolist()] for one in torch.split(side.labels, side.lengths.tolist())]
            for side in (found, wanted)
        )
        return [{"predicted": said, "true": truth} for said, truth in zip(*sides, strict=True)]
    decoded = zip(_of(head.decode(outcome.output), places), _of(outcome.target, places), strict=True)
    return [{"predicted": _plain(head, own), "true": _plain(head, truth)} for own, truth in decoded]


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
    if isinstance(head, Tagger | Classifier) and not head.labels.multilabel:
        listed: list[Any] = [head.labels.names[i] if i >= 0 else None for i in values.long().tolist()]
    else:
        listed = head.to_python(values.reshape(len(values), -1))
    return listed[0] if head.target["per"] == "sequence" else listed


def _costliest(tokens: Sequence[str], nats: Sequence[float]) -> str:
    """The three tokens with the most nats."""
    order = sorted(range(len(tokens)), key=lambda i: -nats[i])[:3]
    return ", ".join(f"{shown(tokens[i])} {nats[i]:.1f}" for i in order)


def _joined(labels: Sequence[str | None]) -> str:
    """Labels one after the other, letters as a word."""
    names = ["?" if label is None else label for label in labels]
    return ("" if all(len(name) == 1 for name in names) else " ").join(names)


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
