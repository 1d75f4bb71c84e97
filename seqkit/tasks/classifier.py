"""One label, or one set of labels, per sequence."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from torch import Tensor
from torchmetrics import MetricCollection

from seqkit.losses import Loss, Values
from seqkit.metrics import ReportMetric
from seqkit.nn import LastPool
from seqkit.tasks.inputs import TaskOptions
from seqkit.tasks.module import Part
from seqkit.tasks.targets import LabelTarget, ignore_index
from seqkit.tasks.task import Task


class Classifier(Task):
    """Label every sequence: the topic of a text, the speaker of an utterance, the class of a time series.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``. Its one target is a class or labels per
            sequence.
        pooling: The pooling, without its ``input_size``; by default the final states.
        loss: By default cross-entropy, or binary cross-entropy if a sequence has any number of labels.
        per_class: Report each class's F1, too.
        attention: Whether predictions contain, as ``INPUT_attention``, the weight that pooling gives each token.
        options: The encoder and the optimiser; see :class:`~seqkit.Task`.

    Raises:
        ValueError: The target is not labels per sequence; see also :class:`~seqkit.Task`.
    """

    counts_unseen_labels = True

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        pooling: Part = LastPool,
        loss: Callable[[], Loss] | None = None,
        per_class: bool = False,
        attention: bool = False,
        **options: Unpack[TaskOptions],
    ) -> None:
        self.labels = LabelTarget.from_spec(spec, per="sequence", task=type(self).__name__)
        self.monitor = self.labels.monitor
        self.per_class = per_class
        loss_class = loss or self.labels.default_loss()
        super().__init__(spec, loss=loss_class, pooling=pooling, attention=attention, causal=False, **options)

    def output_size(self) -> int:
        """Return one logit per label."""
        return self.labels.size

    def set_unseen(self, stage: str, names: Sequence[str]) -> None:
        """Count the labels of the evaluated split that training lacks as errors."""
        self.labels = self.labels.with_unseen(names)
        super().set_unseen(stage, names)

    def loss_target(self, target: Values) -> Values:
        """Leave labels that training lacks out of the loss."""
        return self.labels.without_unseen(target, ignore_index(self.loss)) if self.labels.unseen else target

    def build_metrics(self) -> list[MetricCollection]:
        """Build accuracy and F1."""
        return [self.labels.build_metrics(ignore_index(self.loss), per_class=self.per_class)]

    def build_report(self) -> list[ReportMetric]:
        """Build the report by class, or by label."""
        return [self.labels.build_report(ignore_index(self.loss))]

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Return predicted and true class ids (B,) or multi-hot labels (B, C)."""
        return [self.labels.metric_inputs(self.decode(output), target)]

    def decode(self, output: Values) -> Values:
        """Return the most probable class, or the labels with a probability above one half."""
        return self.labels.decode(output)

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return the label's name, or the list of names, of each sequence."""
        return self.labels.to_python(predicted)

    def probabilities(self, output: Values, predicted: Values) -> Values:  # noqa: ARG002
        """Return the probability of each label, (B, C)."""
        return self.labels.probabilities(output)

    def scores_to_python(self, scores: Tensor) -> list[Any]:
        """Return the probability of each label by its name, of each sequence."""
        return self.labels.scores_to_python(scores)
