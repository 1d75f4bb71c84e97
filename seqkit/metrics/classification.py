"""Metrics of classes and of multiple labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from seqkit.metrics.base import ClassCounts


class _ByClass(ClassCounts):
    """The F1 of each class as ``f1_NAME``, mixed into F1 scores, and the number of its true units.

    Args:
        names: The C names.
        options: Further arguments of the score.
    """

    def __init__(self, names: Sequence[str], **options: Any) -> None:
        super().__init__(len(names), average="none", **options)  # type: ignore[call-arg]
        self._names = [f"f1_{name}" for name in names]
        self._support: Tensor | None = None

    def compute(self) -> dict[str, Tensor]:
        # The states are those of all ranks here.
        found: Any = self
        self._support = found.tp + found.fn
        values: Any = super().compute()  # type: ignore[misc]
        return dict(zip(self._names, values, strict=True))

    def class_counts(self) -> dict[str, int]:
        return {} if self._support is None else dict(zip(self._names, self._support.tolist(), strict=True))


class _ClassF1(_ByClass, MulticlassF1Score):  # type: ignore[misc]
    """The F1 of each class."""


class _LabelF1(_ByClass, MultilabelF1Score):  # type: ignore[misc]
    """The F1 of each label."""


def classification_metrics(
    names: Sequence[str], *, per_class: bool = False, ignore_index: int = -100
) -> MetricCollection:
    """Build the metrics of logits (N, C) against class ids (N,): ``accuracy`` over all units, and macro ``f1``.

    Args:
        names: The C class names.
        per_class: Also report the F1 of each class, as ``f1_NAME``.
        ignore_index: Target that does not count.
    """
    classes = len(names)
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=ignore_index),
        "f1": MulticlassF1Score(classes, average="macro", ignore_index=ignore_index),
    }
    if per_class:
        metrics["per_class"] = _ClassF1(names, ignore_index=ignore_index)
    return MetricCollection(metrics)


def multilabel_metrics(names: Sequence[str], *, per_class: bool = False) -> MetricCollection:
    """Build the metrics of logits (N, C) against multi-hot targets (N, C).

    ``exact_match`` is the share of units whose labels are all correct, ``f1`` the macro F1, ``micro_f1`` the F1
    over all labels of all units.

    Args:
        names: The C label names.
        per_class: Also report the F1 of each label, as ``f1_NAME``.
    """
    labels = len(names)
    metrics: dict[str, Metric | MetricCollection] = {
        "exact_match": MultilabelExactMatch(labels),
        "f1": MultilabelF1Score(labels, average="macro"),
        "micro_f1": MultilabelF1Score(labels, average="micro"),
    }
    if per_class:
        metrics["per_class"] = _LabelF1(names)
    return MetricCollection(metrics)


def precision_recall_f1(correct: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
    """Compute precision, recall and F1 from counts; 0/0 is 0.

    Args:
        correct: Number of correct predictions, of any shape (...).
        predicted: Number of predictions, (...).
        actual: Number of true units, (...).

    Returns:
        (..., 3): precision, recall and F1, float32.
    """
    # Not by the default type, which is a half type in a step with true half precision.
    correct, predicted, actual = correct.float(), predicted.float(), actual.float()
    scores = [
        correct / predicted.clamp(min=1),
        correct / actual.clamp(min=1),
        2 * correct / (predicted + actual).clamp(min=1),
    ]
    return torch.stack(scores, dim=-1)
