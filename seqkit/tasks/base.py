"""The task with one target: a head on the encoder, its loss, its metrics and its predictions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import Loss, Values
from seqkit.tasks.encoder_task import Encoded, EncoderTask
from seqkit.tasks.module import Part, Predictions, Schedule, TaskOutput

__all__ = ["Part", "Predictions", "Schedule", "Task"]


class Task(EncoderTask, ABC):
    """Embed, encode, drop out, pool if the target is per sequence, and apply one linear head: all on packed data.

    Every unit (token, or sequence where the target is per sequence) weighs the same in the gradient, whichever
    batch, rank or micro-batch it falls in: a batch's loss is summed and divided by the plan's *constant* mean
    number of units an optimiser step, which the :class:`~seqkit.data.LengthBucketSampler` of the training loader
    knows. With another sampler no such constant is known, and the loss is the mean over each batch. What is
    logged is always the plain mean per unit.

    Of a pair with pooled vectors u and v the head sees u, v, abs(u - v) and u * v, as in InferSent (Conneau et al.
    2017, https://aclanthology.org/D17-1070).

    Args:
        spec: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        encoder: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        embedding: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        embeddings: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        pooling: For a target per sequence: the pooling, without its ``input_size``.
        loss: The loss, without arguments still to come.
        dropout: Probability of dropping a feature of the encoder's input and of its output.
        optimizer: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        lr_scheduler: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        causal: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        attention: Whether predictions hold, as ``INPUT_attention``, the weight that pooling gives each token.

    Raises:
        ValueError: The spec has not exactly one target, or one of another kind; a pair without pooling;
            ``attention`` of a pooling without weights; see also :class:`~seqkit.tasks.encoder_task.EncoderTask`.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None,
        embeddings: dict[str, Part] | None,
        pooling: Part | None,
        loss: Callable[[], Loss],
        dropout: float,
        optimizer: OptimizerCallable,
        lr_scheduler: Schedule | None,
        causal: bool,
        attention: bool = False,
    ) -> None:
        super().__init__(spec, encoder, embedding, embeddings, dropout, optimizer, lr_scheduler, causal)
        self.target_column, self.target = self.find_target()
        self.loss = loss()
        features = cast(int, self.encoder.output_size)
        self.pooling = None
        if self.target["per"] == "sequence":
            if pooling is None:
                raise ValueError(
                    f"target {self.target_column!r} is per sequence, and {type(self).__name__} has no pooling; "
                    f"give `pooling`, or use Classifier or Regressor"
                )
            self.pooling = pooling(features)
            features = cast(int, self.pooling.output_size)
        if len(self.sides) > 1:
            if self.pooling is None:
                raise ValueError(
                    f"target {self.target_column!r} is per token, but inputs {self.sides[0]} and {self.sides[1]} "
                    f"are a pair; a pair has a target per sequence"
                )
            features *= 4
        self.attention = attention
        if attention and not hasattr(self.pooling, "weights"):
            raise ValueError(
                f"attention=True, but pooling {type(self.pooling).__name__} gives tokens no weights; use "
                f"seqkit.nn.AttentionPool"
            )
        self.head = nn.Linear(features, self.output_size())
        self._add_metrics()

    # What a task says of itself.

    def find_target(self) -> tuple[str, dict[str, Any]]:
        """The target's column and its entry in the spec."""
        targets = self.spec["targets"]
        if len(targets) != 1:
            raise ValueError(
                f"{type(self).__name__} needs exactly one target, but the data has {list(targets)}; "
                f"name one column in `targets`, or use MultiTask"
            )
        column, entry = next(iter(targets.items()))
        return column, entry

    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs a unit."""

    @abstractmethod
    def build_metrics(self) -> list[MetricCollection]:
        """The metrics of one stage: one collection for each pair that :meth:`metric_inputs` gives."""

    @abstractmethod
    def metric_inputs(self, output: Values, target: Values) -> Sequence[tuple[Values, Values]]:
        """What the metrics compare: predictions and targets, one unit a row, or packed."""

    @abstractmethod
    def decode(self, output: Values) -> Values:
        """Turn outputs into predictions in the terms of the target: class ids, multi-hot labels or values."""

    @abstractmethod
    def to_python(self, predicted: Tensor) -> list[Any]:
        """The predictions of some units in plain types: label names or numbers, one a unit."""

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss summed over the units that count, and their number."""
        return self.loss.total(output, target)

    def sequence_losses(self, outcome: TaskOutput) -> Tensor:
        """The mean loss a unit of each sequence, (B,); 0 where no unit counts."""
        each = zip(_sequences(outcome.output), _sequences(outcome.target), strict=True)
        sums = [self.compute_loss(output, target) for output, target in each]
        return torch.stack([total.detach() / units.clamp(min=1) for total, units in sums])

    def plan_units(self, plan: Any) -> float:
        """The mean number of tokens, or of sequences, of a step by the training loader's plan."""
        per_sequence = self.target["per"] == "sequence"
        return float(plan.sequences_per_step if per_sequence else plan.tokens_per_step)

    # The model.

    @property
    def heads(self) -> "dict[str, Task]":
        """By target column, the task that reads the encoder for it: here the task itself."""
        return {self.target_column: self}

    def read(self, encoded: list[Encoded]) -> Values:
        """Compute the outputs from the encoder's: packed, data (N, C), or (B, C)."""
        if self.pooling is None:
            hidden = self.dropout(encoded[0].hidden)
            return cast(PackedSequence, hidden._replace(data=self.head(hidden.data)))
        pooled = [self.pooling(hidden, state) for hidden, state in encoded]
        features = pooled[0] if len(pooled) == 1 else _compared(*pooled)
        return cast(Tensor, self.head(nn.functional.dropout(features, self.dropout.p, self.training)))

    # The step, written once.

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage.

        Returns:
            In training, the :meth:`~seqkit.tasks.module.SequenceModule.objective`. Otherwise the mean.
        """
        if not len(batch.rows):
            return self.no_objective()
        loss, values = self.loss_and_update(self.outcome(self(batch.inputs), batch), stage)
        self._log_values(values)
        return loss

    def test_step(self, batch: Batch, _: int) -> dict[str, TaskOutput]:
        """One batch of the test split; callbacks get what came of it."""
        if not len(batch.rows):
            return {}
        outcome = self.outcome(self(batch.inputs), batch)
        self.loss_and_update(outcome, "test")
        return {self.target_column: outcome}

    def outcome(self, output: Values, batch: Batch) -> TaskOutput:
        """A batch's output beside its target."""
        return TaskOutput(output, batch.targets[self.target_column])

    def loss_and_update(self, outcome: TaskOutput, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute a batch's loss and take it into the metrics.

        Returns:
            The loss, see :meth:`step`, and what to log of this batch alone.
        """
        output, target = outcome
        total, units = self.compute_loss(output, target)
        with torch.no_grad():
            values = self._taken(stage, total.detach(), units, lambda: self.metric_inputs(output, target))
        return self.objective(total, units) if stage == "train" else total / units.clamp(min=1), values

    def predict_step(self, batch: Batch, _: int) -> Predictions:
        """Predict a batch, in plain types."""
        rows = batch.rows.tolist()
        return Predictions(rows, self.predicted(self.encode(batch.inputs)) if rows else {})

    def predicted(self, encoded: list[Encoded]) -> dict[str, list[Any]]:
        """Predictions in plain types and, if asked, the weights of pooling."""
        columns = {self.target_column: self.listed(self.decode(self.read(encoded)))}
        if self.attention:
            pooling: Any = self.pooling
            for (column, *_), (hidden, _) in zip(self.sides, encoded, strict=True):
                weights = packed.unpack(pooling.weights(hidden))
                columns[f"{column}_attention"] = [values.tolist() for values in weights]
        return columns

    def listed(self, predicted: Values) -> list[Any]:
        """Predictions in plain types, one a sequence."""
        if isinstance(predicted, PackedSequence):
            return [self.to_python(values) for values in packed.unpack(predicted)]
        return self.to_python(predicted)


def _sequences(values: Values) -> list[Any]:
    """A batch's sequences, each as a batch of its own."""
    if isinstance(values, PackedSequence):
        each = packed.unpack(values)
        return [PackedSequence(one, torch.ones(len(one), dtype=torch.long)) for one in each]
    return [values[i : i + 1] for i in range(len(values))]


def _compared(one: Tensor, other: Tensor) -> Tensor:
    """(B, D), (B, D) -> (B, 4D)."""
    return torch.cat([one, other, (one - other).abs(), one * other], dim=-1)
