"""Metrics by kind of target, as collections of torchmetrics; all of them take flat units, one a row."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError
from torchmetrics.wrappers import ClasswiseWrapper

from seqkit.transcripts import nearest, split


class MeanLoss(Metric):
    """The mean loss a unit over all batches and ranks: the sum of the losses over the number of units."""

    full_state_update = False
    higher_is_better = False
    total: Tensor
    units: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("units", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, total: Tensor, units: Tensor) -> None:
        """Add a batch's sum and number of units."""
        self.total += total.detach().to(self.total.dtype)
        self.units += units

    def compute(self) -> Tensor:
        """The mean loss a unit."""
        return (self.total / self.units).float()


class Perplexity(MeanLoss):
    """exp of the mean loss in nats a token over all batches and ranks: each token counts once."""

    def compute(self) -> Tensor:
        """The perplexity."""
        return (self.total / self.units).exp().float()


class Bits(MeanLoss):
    """The mean loss in bits, nats over ln 2, a token over all batches and ranks: each token counts once."""

    def compute(self) -> Tensor:
        """The bits a token."""
        return (self.total / self.units / math.log(2)).float()


def language_metrics(unit: str = "token") -> MetricCollection:
    """Perplexity and bits a token, for a batch's loss in nats, summed, and its number of tokens.

    Args:
        unit: What a token is, for the name ``bits_per_UNIT``.
    """
    return MetricCollection({"perplexity": Perplexity(), f"bits_per_{unit}": Bits()})


class ErrorRates(Metric):
    """How far label sequences are from the nearest of their references, over all rows and ranks.

    ``label_error_rate``: insertions, deletions and substitutions over the labels of the references, the phone or
    character error rate. ``sequence_error_rate``: share of rows that are not exactly right; of single words, the
    word error rate. Of references that are equally near, the one that is listed first counts.
    """

    full_state_update = False
    higher_is_better = False
    edits: Tensor
    labels: Tensor
    wrong: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("edits", "labels", "wrong", "rows"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, found: PackedSequence, wanted: PackedSequence) -> None:
        """Add label sequences, data (M,), one a row, and those wanted; see :mod:`seqkit.transcripts`."""
        ours = split(found)
        references, distances = nearest(ours, split(wanted))
        self.edits += distances.sum()
        self.labels += references.lengths.sum()
        self.wrong += (distances > 0).sum()
        self.rows += len(distances)

    def compute(self) -> dict[str, Tensor]:
        """Both rates; the first may be above 1."""
        return {
            "label_error_rate": self.edits / self.labels.clamp(min=1),
            "sequence_error_rate": self.wrong / self.rows.clamp(min=1),
        }


def classification_metrics(
    names: Sequence[str], *, per_class: bool = False, ignore_index: int = -100
) -> MetricCollection:
    """Accuracy per unit and macro F1, for logits (N, C) against class ids (N,).

    Args:
        names: The C class names.
        per_class: Report the F1 of each class, too, as ``f1_NAME``.
        ignore_index: A target that does not count.
    """
    classes = len(names)
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=ignore_index),
        "f1": MulticlassF1Score(classes, average="macro", ignore_index=ignore_index),
    }
    if per_class:
        each = MulticlassF1Score(classes, average="none", ignore_index=ignore_index)
        metrics["per_class"] = ClasswiseWrapper(each, labels=list(names), prefix="f1_")
    # Groups share states, but not with a metric inside a wrapper.
    return MetricCollection(metrics, compute_groups=not per_class)


def multilabel_metrics(names: Sequence[str], *, per_class: bool = False) -> MetricCollection:
    """Share of units with all labels right, and macro F1, for logits (N, C) against multi-hot targets (N, C).

    Args:
        names: The C label names.
        per_class: Report the F1 of each label, too, as ``f1_NAME``.
    """
    labels = len(names)
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MultilabelExactMatch(labels),
        "f1": MultilabelF1Score(labels, average="macro"),
    }
    if per_class:
        each = MultilabelF1Score(labels, average="none")
        metrics["per_class"] = ClasswiseWrapper(each, labels=list(names), prefix="f1_")
    # Groups share states, but not with a metric inside a wrapper.
    return MetricCollection(metrics, compute_groups=not per_class)


def regression_metrics() -> MetricCollection:
    """Root of the mean squared error and mean absolute error, in units of the target."""
    return MetricCollection({"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()})


class PHMScore(Metric):
    """The score of the PHM 2008 challenge for remaining lives, summed over units and ranks: 0 is perfect.

    Of a unit whose life was estimated d too long, ``exp(d / 10) - 1``; of one with -d too short,
    ``exp(-d / 13) - 1``: a late warning costs more than an early one (Saxena et al. 2008, "Damage propagation
    modeling for aircraft engine run-to-failure simulation", https://doi.org/10.1109/PHM.2008.4711414). It grows
    with the number of units, so that only scores of the same units compare.
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the units of a batch: their lives, estimated and true, (N,), in cycles."""
        late = estimate.to(self.total.dtype) - truth.to(self.total.dtype)
        self.total += torch.where(late < 0, -late / 13, late / 10).expm1().sum()

    def compute(self) -> Tensor:
        """The score."""
        return self.total.float()
