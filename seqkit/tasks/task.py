"""The task with an encoder and one target: pooling, a linear head, the loss, metrics and predictions."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Unpack, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import Loss, Values, build_loss, check_total, mean_over_units
from seqkit.optim import Interval, Monitor, Schedule
from seqkit.tasks.inputs import Encoded, EncoderParts, InputOptions, build_encoder
from seqkit.tasks.module import Part, SequenceModule
from seqkit.tasks.outputs import (
    NAN,
    Predictions,
    RowReport,
    TaskOutput,
    check_outputs,
    comparison,
    select_sequences,
)
from seqkit.tasks.stream import TaskStream


class Task(SequenceModule):
    """Embed, encode, pool if the target is per sequence, and apply one linear head: all on packed data.

    A subclass says its target, loss, decoding, metrics and report. What :meth:`find_target`, :meth:`output_size`
    and :meth:`build_metrics` read must be set before ``super().__init__`` is called.

    Every unit (token, or sequence where the target is per sequence) weighs the same in the gradient, in any batch,
    rank or micro-batch: a batch's loss is summed and divided by the plan's *constant* mean number of units in an
    optimiser step, which the :class:`~seqkit.LengthBucketSampler` of the training loader knows. Another sampler has
    no such constant; the loss is then the mean over each batch. What is logged is always the mean per unit.

    For a pair with pooled vectors u and v, the head reads u, v, abs(u - v) and u * v, as in InferSent (Conneau et
    al. 2017, https://aclanthology.org/D17-1070).

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``.
        loss: The loss: a class, or a partial of one with all arguments.
        pooling: For a target per sequence: the pooling, without its ``input_size``.
        attention: Whether predictions contain, as ``INPUT_attention``, the weight that pooling gives each token.
        causal: Whether the output at a step may depend on nothing later; refuses an encoder that is bidirectional
            or changes the steps.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The learning-rate schedule, without its optimiser: one of torch's, or of :mod:`seqkit.optim`.
            It gets the number of steps of the fit as ``total_steps`` if it has this argument.
        lr_interval: Whether the schedule is stepped after each ``step`` or ``epoch``. By default after each step if
            it has ``total_steps`` (or is ``CyclicLR``), otherwise after each epoch.
        lr_monitor: The metric of a plateau schedule and its best end, such as ``("val_loss", "min")``; by default
            the task's monitor.
        inputs: ``encoder``, ``embedding``, ``embeddings`` and ``dropout``; see
            :func:`~seqkit.tasks.inputs.build_encoder`.

    Raises:
        ValueError: The spec has not exactly one target, or one of another kind; a pair without pooling;
            ``attention`` of a pooling without weights; see also :func:`~seqkit.tasks.inputs.build_encoder`.
        TypeError: ``loss`` gives no :class:`~seqkit.losses.Loss`; a part from which a checkpoint could not rebuild
            the model (a lambda, say).
    """

    is_aligned = True
    """Whether the outputs belong to the steps of the input."""

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        loss: Callable[[], Loss],
        pooling: Part | None = None,
        attention: bool = False,
        causal: bool = False,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        lr_interval: Interval | None = None,
        lr_monitor: Monitor | None = None,
        **inputs: Unpack[InputOptions],
    ) -> None:
        super().__init__(
            spec, optimizer=optimizer, lr_scheduler=lr_scheduler, lr_interval=lr_interval, lr_monitor=lr_monitor
        )
        self.sides, self.embeddings, self.encoder, self.dropout = build_encoder(
            spec["inputs"], task=type(self).__name__, causal=causal, aligned=self.is_aligned, **inputs
        )
        self.target_column, self.target = self.find_target()
        self.loss = build_loss(loss)
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
        self.add_metrics()

    # What a task defines.

    def find_target(self) -> tuple[str, dict[str, Any]]:
        """Return the target's column and its entry in the spec."""
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
        """Return the number of outputs per unit."""

    @abstractmethod
    def metric_inputs(self, output: Values, target: Values) -> Sequence[tuple[Values, Values]]:
        """Return the arguments of the metrics: predictions and targets, one unit a row, or packed."""

    @abstractmethod
    def decode(self, output: Values) -> Values:
        """Turn outputs into predictions in the terms of the target: class ids, multi-hot labels or values."""

    @abstractmethod
    def to_python(self, predicted: Tensor) -> list[Any]:
        """Turn the predictions of some units into plain types: one label name, list or number per unit."""

    def probabilities(self, output: Values, predicted: Values) -> Values | None:  # noqa: ARG002
        """Return the probability of each predicted label, (N,), or of each label, (N, C); None for values."""
        return None

    def scores_to_python(self, scores: Tensor) -> list[Any]:
        """Turn the probabilities of some units into plain types."""
        return scores.tolist()

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Compute the loss summed over the units that count, and return it with their number."""
        return self.loss.total(output, target)

    def loss_target(self, target: Values) -> Values:
        """Return the target of the loss in evaluation: without labels that training lacks; here the target."""
        return target

    def sequence_losses(self, output: TaskOutput) -> Tensor:
        """Return the mean loss per unit of each sequence, (B,); 0 where no unit counts."""
        each = zip(_singles(output.output), _singles(self.loss_target(output.target)), strict=True)
        sums = [self.compute_loss(*pair) for pair in each]
        return torch.stack([mean_over_units(total.detach(), units) for total, units in sums])

    def describe_rows(self, output: TaskOutput, places: Sequence[int]) -> list[RowReport]:
        """Describe some sequences by their predicted and true targets."""
        sides = (
            [self.to_python(values.reshape(len(values), -1)) for values in select_sequences(side, places)]
            for side in (self.decode(output.output), output.target)
        )
        reports = []
        for predicted, true in zip(*sides, strict=True):
            if self.target["per"] == "sequence":
                fields = {"predicted": predicted[0], "true": true[0]}
                reports.append(RowReport(fields, comparison(true[0], predicted[0])))
            else:
                last = f"… {comparison(true[-1], predicted[-1])}" if self.target["kind"] == "value" else None
                reports.append(RowReport({"predicted": predicted, "true": true}, last))
        return reports

    def plan_units(self, plan: Any) -> float:
        """Return the mean number of tokens, or of sequences, in a step by the training loader's plan."""
        per_sequence = self.target["per"] == "sequence"
        return float(plan.sequences_per_step if per_sequence else plan.tokens_per_step)

    def batch_units(self, batch: Batch) -> int:
        """Return the number of tokens, or of sequences, in a batch."""
        return len(batch.rows) if self.target["per"] == "sequence" else super().batch_units(batch)

    # The model.

    @property
    def heads(self) -> dict[str, SequenceModule]:
        """The task itself, by its target column."""
        return {self.target_column: self}

    def forward(self, inputs: dict[str, PackedSequence]) -> Values:
        """Compute the outputs of a batch.

        Args:
            inputs: By column, packed, data (N, ...).

        Returns:
            Per token: packed, data (N, C). Per sequence: (B, C).

        Raises:
            KeyError: An input column of the spec is missing.
        """
        return self.read(self.encode(inputs))

    def encode(self, inputs: dict[str, PackedSequence]) -> list[Encoded]:
        """Embed and encode the sequence of each row, or both sequences of a pair."""
        return EncoderParts(self.sides, self.embeddings, self.encoder, self.dropout).encode(inputs)

    def read(self, encoded: list[Encoded]) -> Values:
        """Compute the outputs from the encoder's: packed, data (N, C), or (B, C)."""
        if self.pooling is None:
            hidden = self.dropout(encoded[0].hidden)
            return cast(PackedSequence, hidden._replace(data=self.head(hidden.data)))
        pooled = [self.pooling(hidden, state) for hidden, state in encoded]
        features = pooled[0] if len(pooled) == 1 else _compared(*pooled)
        return cast(Tensor, self.head(nn.functional.dropout(features, self.dropout.p, self.training)))

    def stream(self, batch_size: int | None = None, *, scores: bool = False) -> TaskStream:
        """Open a stream, which reads sequences as their tokens arrive; see :class:`~seqkit.tasks.TaskStream`.

        Args:
            batch_size: The number of sequences; None for one, whose values and outputs are in no list.
            scores: Whether outputs contain probabilities.

        Raises:
            ValueError: A part of the model reads later tokens or whole sequences, or takes no state.
        """
        return TaskStream(self, batch_size, scores=scores)

    # The step.

    def loss_and_outputs(self, batch: Batch, stage: str) -> tuple[Tensor, dict[str, TaskOutput]]:
        """Compute a batch's loss, update the metrics of the stage, and log the batch's values."""
        output = self.task_output(self(batch.inputs), batch)
        loss, values = self.loss_and_update(output, stage)
        self.log_values(values)
        return loss, {self.target_column: output}

    def task_output(self, output: Values, batch: Batch) -> TaskOutput:
        """Combine a batch's output with its target."""
        return TaskOutput(output, batch.targets[self.target_column])

    def loss_and_update(self, output: TaskOutput, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute a batch's loss and update the metrics.

        Returns:
            The loss, see :meth:`loss_and_outputs`, and what to log of this batch alone.
        """
        target = output.target if stage == "train" else self.loss_target(output.target)
        total, units = check_total(self.loss, self.compute_loss(output.output, target))
        with torch.no_grad():
            values = self.update_metrics(stage, total.detach(), units, output)
        return self.objective(total, units) if stage == "train" else mean_over_units(total, units), values

    # Predictions.

    def predict_step(self, batch: Batch, _: int, *, scores: bool = False) -> Predictions:
        """Predict a batch, in plain types."""
        if not len(batch.rows):
            return Predictions([], {})
        found = self.predict_values(self.encode(batch.inputs), scores=scores)
        rows, *values = packed.to_host([batch.rows, *found.values()])
        return Predictions(rows.tolist(), self.columns_to_python(dict(zip(found, values, strict=True))))

    def predict_values(self, encoded: list[Encoded], *, scores: bool = False) -> dict[str, Values]:
        """Return decoded predictions by column, where the model is.

        Args:
            encoded: The encoder's output.
            scores: Whether to add the probabilities of the predictions.

        Returns:
            The predictions as ``TARGET``; their probabilities, if there are any, as ``TARGET_scores``; the weights
            of pooling, if the task has ``attention``, as ``INPUT_attention``; whether an output is NaN, as ``NAN``.
        """
        output = self.read(encoded)
        found: dict[str, Values] = {self.target_column: self.decode(output), NAN: output.data.isnan().any()}
        probabilities = self.probabilities(output, found[self.target_column]) if scores else None
        if probabilities is not None:
            found[f"{self.target_column}_scores"] = probabilities
        if self.attention:
            pooling: Any = self.pooling
            for (column, *_), (hidden, _) in zip(self.sides, encoded, strict=True):
                found[f"{column}_attention"] = pooling.weights(hidden)
        return found

    def columns_to_python(self, found: dict[str, Values]) -> dict[str, list[Any]]:
        """Turn what :meth:`predict_values` returns, moved to the CPU, into plain types.

        Raises:
            ValueError: An output is NaN.
        """
        if NAN in found:
            check_outputs(self, found[NAN].data)
        to_python: dict[str, Callable[[Values], list[Any]]] = {
            self.target_column: self.predictions_to_python,
            f"{self.target_column}_scores": partial(_each_sequence, self.scores_to_python),
        }
        as_lists: Callable[[Values], list[Any]] = partial(_each_sequence, _to_list)
        return {
            column: to_python.get(column, as_lists)(values) for column, values in found.items() if column != NAN
        }

    def predictions_to_python(self, predicted: Values) -> list[Any]:
        """Turn decoded predictions into plain types, one for each sequence."""
        return _each_sequence(self.to_python, predicted)


def _to_list(values: Tensor) -> list[Any]:
    found: list[Any] = values.tolist()
    return found


def _each_sequence(to_python: Callable[[Tensor], list[Any]], values: Values) -> list[Any]:
    """Turn values into plain types, one for each sequence."""
    if isinstance(values, PackedSequence):
        return [to_python(own) for own in packed.unpack(values)]
    return to_python(values)


def _singles(values: Values) -> list[Any]:
    """Split a batch's values into batches of one sequence each."""
    if isinstance(values, PackedSequence):
        each = packed.unpack(values)
        return [PackedSequence(one, torch.ones(len(one), dtype=torch.long)) for one in each]
    return [values[i : i + 1] for i in range(len(values))]


def _compared(one: Tensor, other: Tensor) -> Tensor:
    """(B, D), (B, D) -> (B, 4D)."""
    return torch.cat([one, other, (one - other).abs(), one * other], dim=-1)
