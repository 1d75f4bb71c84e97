"""Metrics of classes and of multiple labels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)
from torchmetrics.wrappers import ClasswiseWrapper


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
        by_class = MulticlassF1Score(classes, average="none", ignore_index=ignore_index)
        metrics["per_class"] = ClasswiseWrapper(by_class, labels=list(names), prefix="f1_")
    # Metrics of one compute group share their states, but a wrapped metric cannot.
    return MetricCollection(metrics, compute_groups=not per_class)


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
        by_class = MultilabelF1Score(labels, average="none")
        metrics["per_class"] = ClasswiseWrapper(by_class, labels=list(names), prefix="f1_")
    # Metrics of one compute group share their states, but a wrapped metric cannot.
    return MetricCollection(metrics, compute_groups=not per_class)


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
