"""What a target holds: labels, or values that the model computes in standardised form."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqkit.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    Values,
    full_precision,
    unit_values,
    with_unit_values,
)
from seqkit.metrics import ClassReport, LabelReport, ReportMetric, classification_metrics, multilabel_metrics
from seqkit.upstream.torch import KeepDtype


@dataclass(frozen=True)
class LabelTarget:
    """The labels of a target, and how outputs become labels.

    Attributes:
        names: The C label names, and those that only the evaluated split has.
        multilabel: Whether a unit has any number of labels instead of exactly one.
        unseen: The number of the last names, which the model cannot predict.
    """

    names: list[str]
    multilabel: bool
    unseen: int = 0

    @classmethod
    def from_spec(cls, spec: dict[str, Any], *, per: str, task: str) -> "LabelTarget":
        """Take the labels from a spec.

        Args:
            spec: What the data determines: ``SequenceDataModule.spec``.
            per: What has labels: ``token`` or ``sequence``.
            task: The task's name, for messages.

        Raises:
            ValueError: A target is not labels per ``per``.
        """
        for column, target in spec["targets"].items():
            if target["per"] != per or target["kind"] not in ("class", "multilabel"):
                raise ValueError(
                    f"{task} needs labels per {per}, but target {column!r} is a {target['kind']} per "
                    f"{target['per']}; use Tagger for labels per token, Classifier for labels per sequence, "
                    f"Regressor for values"
                )
        # Task refuses all but one target.
        names = [name for target in spec["targets"].values() for name in target["names"]]
        return cls(names, any(target["kind"] == "multilabel" for target in spec["targets"].values()))

    @property
    def size(self) -> int:
        """C, the number of labels that the model predicts."""
        return len(self.names) - self.unseen

    @property
    def predictable(self) -> list[str]:
        """The C labels that the model predicts."""
        return self.names[: self.size]

    def with_unseen(self, unseen: Sequence[str]) -> "LabelTarget":
        """Return the labels of a split that has some which the model cannot predict."""
        return LabelTarget([*self.predictable, *unseen], self.multilabel, len(unseen))

    def without_unseen(self, target: Values, ignore_index: int) -> Values:
        """Return a target of the predictable labels only: others do not count, or are left out of a set."""
        values = unit_values(target)
        if self.multilabel:
            return with_unit_values(target, values[..., : self.size])
        return with_unit_values(target, values.masked_fill(values >= self.size, ignore_index))

    def metric_inputs(self, predicted: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Return predicted and true classes (N,) or multi-hot labels (N, C), also of labels that training lacks."""
        found, true = unit_values(predicted), unit_values(target).long()
        if self.multilabel:
            # Not by `unseen`, which is of the last evaluation: training comes after a validation, too.
            found = nn.functional.pad(found, (0, true.shape[-1] - found.shape[-1]))
        return found, true

    @property
    def monitor(self) -> tuple[str, str]:
        """The metric that says which checkpoint is best, and its mode."""
        return ("val_micro_f1", "max") if self.multilabel else ("val_accuracy", "max")

    def default_loss(self) -> Callable[[], Loss]:
        """Return cross-entropy, or binary cross-entropy for sets of labels."""
        return BinaryCrossEntropy if self.multilabel else CrossEntropy

    def build_metrics(self, ignore_index: int, *, per_class: bool) -> MetricCollection:
        """Build accuracy and F1, or exact match and F1 for sets of labels.

        Args:
            ignore_index: The label that does not count.
            per_class: Report each class's F1, too.
        """
        if self.multilabel:
            return multilabel_metrics(self.names, per_class=per_class)
        return classification_metrics(self.names, per_class=per_class, ignore_index=ignore_index)

    def build_report(self, ignore_index: int) -> ReportMetric:
        """Build the report by class, or by label for sets of labels; see :meth:`build_metrics`."""
        if self.multilabel:
            return LabelReport(self.names)
        return ClassReport(self.names, ignore_index=ignore_index)

    def decode(self, output: Values) -> Values:
        """Return the most probable class of each unit, or its labels with a probability above one half."""
        logits = unit_values(output)
        predicted = (logits > 0).long() if self.multilabel else logits.argmax(-1)
        return with_unit_values(output, predicted)

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return the label's name, or the list of names, of each unit; None for a target that does not count."""
        if self.multilabel:
            return [[self.names[i] for i, hit in enumerate(row) if hit] for row in predicted.tolist()]
        return [self.names[i] if i >= 0 else None for i in predicted.long().flatten().tolist()]

    def probabilities(self, output: Values) -> Values:
        """Return the probability of each class, or of each label of a set, (N, C), at least in float32."""
        logits = full_precision(unit_values(output))
        return with_unit_values(output, logits.sigmoid() if self.multilabel else logits.softmax(-1))

    def scores_to_python(self, scores: Tensor) -> list[Any]:
        """Return each label's probability by its name (N, C), or that of the predicted label (N,), of each unit."""
        if scores.dim() == 1:
            return scores.tolist()
        return [dict(zip(self.predictable, each, strict=True)) for each in scores.tolist()]


class Standardization(KeepDtype, nn.Module):
    """Subtract the mean and divide by the standard deviation, and back, at least in float32.

    Args:
        entry: The target's entry in the spec, with the training mean and standard deviation (one number or K).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, entry: dict[str, Any]) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(entry["init_args"][name], dtype=torch.float32)
            self.register_buffer(name, values, persistent=False)
        moments = zip(self.mean.double().view(-1).tolist(), self.std.double().view(-1).tolist(), strict=True)
        # Of the channel with the largest mean in units of its standard deviation.
        self._worst = max(moments, key=lambda pair: abs(pair[0]) / pair[1], default=(0.0, 1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Standardise values (N,) or (N, K)."""
        return (full_precision(values) - self.mean) / self.std

    def restore(self, values: Tensor) -> Tensor:
        """Return the values (..., K) in their own units."""
        return full_precision(values) * self.std + self.mean

    def check_resolution(self, column: str, dtype: torch.dtype) -> None:
        """Check that a floating-point type distinguishes values that differ by an eighth standard deviation.

        Raises:
            ValueError: It does not.
        """
        mean, std = self._worst
        if mean == 0:
            return
        # Lightning casts the targets of a batch before a task reads them.
        spacing = torch.finfo(dtype).eps * 2 ** math.floor(math.log2(abs(mean)))
        if spacing > std / 8:
            raise ValueError(
                f"{dtype} rounds the target {column!r} to multiples of {spacing:.3g}, but its standard deviation "
                f"is {std:.3g} (its mean is {mean:.6g}); subtract an offset from the column, or set the trainer's "
                f"precision to 32-true or bf16-mixed if it is lower"
            )


def ignore_index(loss: Loss) -> int:
    """Return the label that does not count in a loss."""
    return loss.ignore_index if isinstance(loss, CrossEntropy) else -100
