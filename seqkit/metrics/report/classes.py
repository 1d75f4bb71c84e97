"""Reports of classes, sets of labels and spans: precision, recall and F1 of each, and confusions."""

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from seqkit.labels import Scheme
from seqkit.metrics.classification import precision_recall_f1
from seqkit.metrics.report.base import ReportMetric, ReportTable
from seqkit.metrics.report.figures import draw_confusion
from seqkit.metrics.span_f1 import SpanF1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_MATRIX = 256  # with more classes, there is no confusion matrix
_MAX_ROWS = 40  # with more classes, the table shows the most frequent ones
_SCORES = ("precision", "recall", "f1")


class _ScoreReport(ReportMetric, ABC):
    """Precision, recall, F1 and support by name, and their means; 0/0 is 0.

    Args:
        names: The C names.
    """

    kind: ClassVar[str]
    """What a name is, for the table and the key ``by_KIND``."""

    correct: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        for state in ("correct", "predicted", "actual"):
            self.add_state(state, torch.zeros(len(names), dtype=torch.long), dist_reduce_fx="sum")

    def compute(self) -> dict[str, Tensor]:
        """Return ``counts``, (3, C): correct predictions, predictions and true units of each name."""
        return {"counts": torch.stack([self.correct, self.predicted, self.actual]).cpu()}

    def table(self) -> ReportTable:
        """Format one row a name, in the order of the names, and the means; with many names, the frequent ones."""
        counts = self.compute()["counts"]
        support, rows, caption = counts[2].tolist(), _rows(self.names, counts), ""
        if len(rows) > _MAX_ROWS:
            frequent = sorted(range(len(rows)), key=lambda i: -support[i])[:_MAX_ROWS]
            rows = [rows[i] for i in sorted(frequent)]
            caption = f"the {_MAX_ROWS} most frequent of {len(self.names)} classes"
        means = [_row(name, scores, sum(support)) for name, scores in _means(counts).items()]
        return ReportTable((self.kind, *_SCORES, "support"), [rows, means], caption)

    def to_python(self) -> dict[str, Any]:
        """Return the scores by name and their means; ``confusion`` is None."""
        counts = self.compute()["counts"]
        means = {name: dict(zip(_SCORES, values.tolist(), strict=True)) for name, values in _means(counts).items()}
        return {f"by_{self.kind}": _by_name(self.names, counts), "means": means, "confusion": None}


class LabelReport(_ScoreReport):
    """Report each label of a task whose units have any number of labels.

    Args:
        names: The C label names.
    """

    kind = "label"

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Count a batch: multi-hot labels, (N, C) each."""
        self.correct += (predicted * target).sum(0)
        self.predicted += predicted.sum(0)
        self.actual += target.sum(0)


class ClassReport(_ScoreReport):
    """Report each class, with the confusion matrix for up to 256 classes.

    Args:
        names: The C class names.
        ignore_index: A target that does not count. Targets below 0 never count.
    """

    kind = "class"
    confusion: Tensor

    def __init__(self, names: Sequence[str], *, ignore_index: int = -100) -> None:
        super().__init__(names)
        self.ignore_index = ignore_index
        self.has_matrix = len(names) <= _MAX_MATRIX
        if self.has_matrix:
            zeros = torch.zeros(len(names), len(names), dtype=torch.long)
            self.add_state("confusion", zeros, dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Count a batch: class ids, (N,) each."""
        kept = (target >= 0) & (target != self.ignore_index)
        found, true, classes = predicted[kept], target[kept], len(self.names)
        self.correct += true[found == true].bincount(minlength=classes)
        self.predicted += found.bincount(minlength=classes)
        self.actual += true.bincount(minlength=classes)
        if self.has_matrix:
            self.confusion += multiclass_confusion_matrix(found, true, classes, validate_args=False)

    def compute(self) -> dict[str, Tensor]:
        """Return ``counts`` and, for up to 256 classes, ``confusion``, (C, C): true by predicted classes."""
        return super().compute() | ({"confusion": self.confusion.cpu()} if self.has_matrix else {})

    def to_python(self) -> dict[str, Any]:
        """Return the scores by class, their means and the confusion matrix, or None for more than 256 classes."""
        matrix = self._matrix()
        return super().to_python() | {"confusion": None if matrix is None else matrix.tolist()}

    def plot(self, title: str = "") -> "tuple[Figure, Any] | None":
        """Draw the confusion matrix."""
        matrix = self._matrix()
        return None if matrix is None else draw_confusion(matrix.numpy(), self.names, title)

    def _matrix(self) -> Tensor | None:
        # torchmetrics makes a scalar of a matrix of one class.
        return self.compute()["confusion"].view(len(self.names), -1) if self.has_matrix else None


class SpanReport(SpanF1, ReportMetric):
    """Report each type of span.

    Args:
        names: The C tag names.
        scheme: The scheme of the tags.
        ignore_index: A target that does not count. Targets below 0 never count.
        unseen: The number of the last names, which only targets have; see :class:`~seqkit.metrics.SpanF1`.
    """

    def __init__(
        self, names: Sequence[str], *, scheme: Scheme = "BIO", ignore_index: int = -100, unseen: int = 0
    ) -> None:
        super().__init__(names, scheme=scheme, ignore_index=ignore_index, unseen=unseen)

    def compute(self) -> dict[str, Tensor]:
        """Return ``counts``, (3, types): correct spans, predicted spans and true spans of each type."""
        return {"counts": torch.stack([self.correct, self.predicted, self.actual]).cpu()}

    def table(self) -> ReportTable:
        """Format one row a type, and all spans."""
        counts = self.compute()["counts"]
        total = counts.sum(1, keepdim=True)
        return ReportTable(("spans", *_SCORES, "support"), [_rows(self.types, counts), _rows(["micro"], total)])

    def to_python(self) -> dict[str, Any]:
        """Return the scores by type."""
        return {"by_span_type": _by_name(self.types, self.compute()["counts"])}


def _by_name(names: Sequence[str], counts: Tensor) -> dict[str, dict[str, float]]:
    scores, support = precision_recall_f1(*counts).tolist(), counts[2].tolist()
    return {
        name: dict(zip((*_SCORES, "support"), (*values, count), strict=True))
        for name, values, count in zip(names, scores, support, strict=True)
    }


def _means(counts: Tensor) -> dict[str, Tensor]:
    """Average the scores of (3, C) counts; (3,) each."""
    scores = precision_recall_f1(*counts)
    weights = counts[2] / counts[2].sum().clamp(min=1)
    return {"micro": precision_recall_f1(*counts.sum(1)), "macro": scores.mean(0), "weighted": weights @ scores}


def _rows(names: Sequence[str], counts: Tensor) -> list[Sequence[str]]:
    """Format the scores of (3, C) counts."""
    return [_row(*each) for each in zip(names, precision_recall_f1(*counts), counts[2].tolist(), strict=True)]


def _row(name: str, scores: Tensor, support: int) -> Sequence[str]:
    return (name, *(f"{score:.3f}" for score in scores.tolist()), f"{support:,}")
