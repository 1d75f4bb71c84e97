"""What tasks with labels share, whether a token or a sequence has them, one or any number."""

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar, cast

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit.losses import BinaryCrossEntropy, CrossEntropy, Loss, Values, unit_values
from seqkit.metrics import classification_metrics, multilabel_metrics
from seqkit.tasks.base import Part, Schedule, Task


class LabelTask(Task, ABC):
    """A task whose target is one class, or a set of labels, a unit.

    Args:
        spec: See :class:`~seqkit.tasks.base.Task`.
        encoder: See :class:`~seqkit.tasks.base.Task`.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        pooling: See :class:`~seqkit.tasks.base.Task`.
        loss: By default cross-entropy, or binary cross-entropy for sets of labels.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        causal: See :class:`~seqkit.tasks.base.Task`.
        per_class: Report each class's F1, too.
        attention: See :class:`~seqkit.tasks.base.Task`.

    Raises:
        ValueError: The target is not labels per :attr:`per`.
    """

    monitor = ("val_accuracy", "max")
    per: ClassVar[str]
    """What has the labels: ``token`` or ``sequence``."""

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None,
        embeddings: dict[str, Part] | None,
        pooling: Part | None,
        loss: Callable[[], Loss] | None,
        dropout: float,
        optimizer: OptimizerCallable,
        lr_scheduler: Schedule | None,
        causal: bool,
        per_class: bool,
        attention: bool = False,
    ) -> None:
        for column, target in spec["targets"].items():
            if target["per"] != self.per or target["kind"] not in ("class", "multilabel"):
                raise ValueError(
                    f"{type(self).__name__} needs labels per {self.per}, but target {column!r} is a "
                    f"{target['kind']} per {target['per']}; use Tagger for labels per token, Classifier for "
                    f"labels per sequence, Regressor for values"
                )
        self.multilabel = any(target["kind"] == "multilabel" for target in spec["targets"].values())
        if self.multilabel:
            self.monitor = ("val_micro_f1", "max")
        self.per_class = per_class
        if loss is None:
            loss = BinaryCrossEntropy if self.multilabel else CrossEntropy
        super().__init__(
            spec, encoder, embedding, embeddings, pooling, loss, dropout, optimizer, lr_scheduler, causal, attention
        )

    @property
    def names(self) -> list[str]:
        """The C label names."""
        return cast(list[str], self.target["names"])

    def output_size(self) -> int:
        """One logit a label."""
        return len(self.names)

    def build_metrics(self) -> list[MetricCollection]:
        """Accuracy and F1."""
        if self.multilabel:
            return [multilabel_metrics(self.names, per_class=self.per_class)]
        ignore_index = self.loss.ignore_index if isinstance(self.loss, CrossEntropy) else -100
        return [classification_metrics(self.names, per_class=self.per_class, ignore_index=ignore_index)]

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Predicted and true class ids (N,) or multi-hot labels (N, C)."""
        return [(unit_values(self.decode(output)), unit_values(target).long())]

    def decode(self, output: Values) -> Values:
        """The likeliest class, or the labels likelier than not."""
        logits = unit_values(output)
        predicted = (logits > 0).long() if self.multilabel else logits.argmax(-1)
        return output._replace(data=predicted) if isinstance(output, PackedSequence) else predicted

    def to_python(self, predicted: Tensor) -> list[Any]:
        """The label's name, or the list of names, of each unit."""
        if self.multilabel:
            return [[self.names[i] for i, hit in enumerate(row) if hit] for row in predicted.tolist()]
        return [self.names[i] for i in predicted.tolist()]
