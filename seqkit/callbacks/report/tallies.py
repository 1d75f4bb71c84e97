"""What a test gave, by class, type of span or value: mergeable over ranks, as a table and a picture."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from seqkit.callbacks.report.figures import confusion_figure, residual_figure
from seqkit.losses import unit_values
from seqkit.metrics import SpanF1
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.outputs import TaskOutput
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.tagger import Tagger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MATRIX = 256  # classes at most whose confusions are counted pair by pair
_SHOWN = 40  # classes at most in a printed table


class Tally(ABC):
    """Counts over batches, kept on the CPU."""

    @abstractmethod
    def update(self, outcome: TaskOutput) -> None:
        """Count a batch."""

    @abstractmethod
    def merge(self, others: Iterable[Any]) -> None:
        """Add what the other ranks counted."""

    @abstractmethod
    def table(self) -> Table:
        """What is printed."""

    @abstractmethod
    def to_python(self) -> dict[str, Any]:
        """All of it in plain types."""

    def figure(self, title: str) -> "Figure | None":  # noqa: ARG002
        """A picture of it, if there is one."""
        return None


class ClassTally(Tally):
    """Precision, recall and F1 of each class or label, and which classes were taken for which.

    0/0 is 0. Classes that a target leaves out (an ignored index) do not count.

    Args:
        head: The task.
    """

    def __init__(self, head: Tagger | Classifier) -> None:
        self._head = head
        self.names = head.labels.names
        self.kind = "label" if head.labels.multilabel else "class"
        classes = len(self.names)
        self.right, self.predicted, self.actual = (torch.zeros(classes, dtype=torch.long) for _ in range(3))
        self.matrix = None
        if not head.labels.multilabel and classes <= _MATRIX:
            self.matrix = torch.zeros(classes, classes, dtype=torch.long)

    def update(self, outcome: TaskOutput) -> None:
        """Count a batch."""
        ((predicted, true),) = self._head.metric_inputs(*outcome)[:1]
        found, truth = unit_values(predicted).cpu(), unit_values(true).cpu()
        if self._head.labels.multilabel:
            self.right += (found * truth).sum(0)
            self.predicted += found.sum(0)
            self.actual += truth.sum(0)
            return
        keep = (truth >= 0) & (truth != getattr(self._head.loss, "ignore_index", -1))
        found, truth, classes = found[keep], truth[keep], len(self.names)
        self.right += truth[found == truth].bincount(minlength=classes)
        self.predicted += found.bincount(minlength=classes)
        self.actual += truth.bincount(minlength=classes)
        if self.matrix is not None:
            self.matrix += (truth * classes + found).bincount(minlength=classes**2).view(classes, classes)

    def merge(self, others: "Iterable[ClassTally]") -> None:
        """Add what the other ranks counted."""
        for other in others:
            self.right += other.right
            self.predicted += other.predicted
            self.actual += other.actual
            if self.matrix is not None and other.matrix is not None:
                self.matrix += other.matrix

    def table(self) -> Table:
        """A line each, in the order of the names; of many classes the most frequent ones."""
        scores = self._scores()
        made = new_table(self.kind, "precision", "recall", "f1", "support")
        shown = range(len(self.names))
        if len(self.names) > _SHOWN:
            frequent = sorted(shown, key=lambda i: -int(self.actual[i]))[:_SHOWN]
            made.caption = f"the {_SHOWN} most frequent of {len(self.names)} classes"
            shown = sorted(frequent)  # type: ignore[assignment]
        for i in shown:
            made.add_row(self.names[i], *_texts(scores[i]), f"{int(self.actual[i]):,}")
        made.add_section()
        for name, values in self._means(scores).items():
            made.add_row(name, *_texts(values), f"{int(self.actual.sum()):,}")
        return made

    def to_python(self) -> dict[str, Any]:
        """Scores by class, their means, and the confusion matrix (true by predicted)."""
        scores = self._scores()
        each = {
            name: dict(zip(("precision", "recall", "f1"), scores[i].tolist(), strict=True))
            | {"support": int(self.actual[i])}
            for i, name in enumerate(self.names)
        }
        means = {
            name: dict(zip(("precision", "recall", "f1"), values.tolist(), strict=True))
            for name, values in self._means(scores).items()
        }
        matrix = None if self.matrix is None else self.matrix.tolist()
        return {f"by_{self.kind}": each, "means": means, "confusion": matrix}

    def figure(self, title: str) -> "Figure | None":
        """The confusion matrix, of classes."""
        if self.matrix is None:
            return None
        return confusion_figure(self.matrix.numpy(), self.names, title)

    def __getstate__(self) -> dict[str, Any]:
        # Ranks send one another counts, not models.
        return {key: value for key, value in self.__dict__.items() if key != "_head"}

    def _scores(self) -> Tensor:
        """(C, 3)."""
        return _scores(self.right, self.predicted, self.actual)

    def _means(self, scores: Tensor) -> dict[str, Tensor]:
        weights = self.actual / self.actual.sum().clamp(min=1)
        micro = _scores(self.right.sum(), self.predicted.sum(), self.actual.sum())
        return {"micro": micro, "macro": scores.mean(0), "weighted": weights @ scores}


class SpanTally(Tally):
    """Precision, recall and F1 of each type of span.

    Args:
        head: The task, whose tags write spans.
    """

    def __init__(self, head: Tagger) -> None:
        assert head.scheme is not None
        self._head = head
        self._metric = SpanF1(head.labels.names, scheme=head.scheme)
        self.types = self._metric.types
        self.counts = torch.zeros(3, len(self.types), dtype=torch.long)  # right, predicted, actual

    def update(self, outcome: TaskOutput) -> None:
        """Count a batch."""
        metric = self._metric
        metric.reset()
        metric.update(*(values.cpu() for values in self._head.metric_inputs(*outcome)[1]))  # type: ignore[arg-type]
        self.counts += torch.stack([metric.correct, metric.predicted, metric.actual])

    def merge(self, others: "Iterable[SpanTally]") -> None:
        """Add what the other ranks counted."""
        for other in others:
            self.counts += other.counts

    def table(self) -> Table:
        """A line a type."""
        made = new_table("spans", "precision", "recall", "f1", "support")
        for name, values, support in zip(self.types, _scores(*self.counts), self.counts[2], strict=True):
            made.add_row(name, *_texts(values), f"{int(support):,}")
        made.add_section()
        made.add_row("micro", *_texts(_scores(*self.counts.sum(1))), f"{int(self.counts[2].sum()):,}")
        return made

    def to_python(self) -> dict[str, Any]:
        """Scores by type."""
        scores = _scores(*self.counts).tolist()
        return {
            "by_span_type": {
                name: {"precision": precision, "recall": recall, "f1": f1, "support": int(self.counts[2, i])}
                for i, (name, (precision, recall, f1)) in enumerate(zip(self.types, scores, strict=True))
            }
        }

    def __getstate__(self) -> dict[str, Any]:
        return {"types": self.types, "counts": self.counts}


class ValueTally(Tally):
    """Bias, errors and explained variance of predicted values, at all steps and at the last ones.

    Args:
        head: The task.
    """

    def __init__(self, head: Regressor | Forecaster) -> None:
        self._head = head
        self._second = "last steps" if isinstance(head, Regressor) else "1 ahead"
        self.pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def update(self, outcome: TaskOutput) -> None:
        """Keep a batch's values."""
        for name, (predicted, true) in zip(("all", self._second), self._head.metric_inputs(*outcome), strict=False):
            if len(true):  # of rows of one step there is none ahead
                self.pairs.setdefault(name, []).append((predicted.cpu(), true.cpu()))

    def merge(self, others: "Iterable[ValueTally]") -> None:
        """Add the other ranks' values."""
        for other in others:
            for name, pairs in other.pairs.items():
                self.pairs.setdefault(name, []).extend(pairs)

    def table(self) -> Table:
        """A line for all steps, and one for the last ones."""
        plain = self.to_python()["values"]
        made = new_table("", "bias", "RMSE", "MAE", "90 % of errors", "R²", "count")
        for name, found in plain.items():
            numbers = (f"{found[key]:.4f}" for key in ("bias", "rmse", "mae", "error_90", "r2"))
            made.add_row(name, *numbers, f"{found['count']:,}")
        return made

    def to_python(self) -> dict[str, Any]:
        """The numbers."""
        return {"values": {name: _errors(*self._joined(name)) for name in self.pairs}}

    def figure(self, title: str) -> "Figure | None":
        """Predictions against the truth, and residuals; of the last steps if there are such."""
        if not self.pairs:
            return None
        name = list(self.pairs)[-1]
        predicted, true = self._joined(name)
        return residual_figure(predicted, true, f"{title}, {name}" if len(self.pairs) > 1 else title)

    def __getstate__(self) -> dict[str, Any]:
        return {"pairs": self.pairs}

    def _joined(self, name: str) -> Any:
        predicted, true = zip(*self.pairs[name], strict=True)
        return torch.cat(predicted).double().numpy(), torch.cat(true).double().numpy()


def _scores(right: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
    """Precision, recall and F1, (..., 3)."""
    each = [
        right / predicted.clamp(min=1),
        right / actual.clamp(min=1),
        2 * right / (predicted + actual).clamp(min=1),
    ]
    return torch.stack(each, dim=-1)


def _errors(predicted: Any, true: Any) -> dict[str, float]:
    errors = predicted - true
    spread = ((true - true.mean()) ** 2).sum()
    return {
        "bias": float(errors.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "mae": float(np.abs(errors).mean()),
        "error_90": float(np.quantile(np.abs(errors), 0.9)),
        "r2": float(1 - (errors**2).sum() / spread) if spread else 0.0,
        "count": len(errors),
    }


def new_table(head: str, *columns: str) -> Table:
    """A table of numbers, with a first column of names."""
    made = Table()
    made.add_column(head)
    for column in columns:
        made.add_column(column, justify="right")
    return made


def _texts(values: Iterable[Any]) -> Sequence[str]:
    return [f"{float(value):.3f}" for value in values]
