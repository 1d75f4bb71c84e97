"""Several targets with one encoder."""

from typing import Any, Protocol, Unpack, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.optim import Interval, Monitor, Schedule
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.inputs import Encoded, EncoderParts, InputOptions, build_encoder
from seqkit.tasks.module import Part, SequenceModule
from seqkit.tasks.outputs import Predictions, TaskOutput
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.stream import TaskStream
from seqkit.tasks.tagger import Tagger
from seqkit.tasks.task import Task


class Head(Protocol):
    """A task without its ``spec`` and its ``encoder``: a class, or :func:`functools.partial` of one."""

    def __call__(self, spec: dict[str, Any], /, *, encoder: Part) -> Task:
        """Build the head."""


class IdentityEncoder(nn.Module):
    """Identity encoder for the heads of a :class:`MultiTask`: the shared encoder has already run.

    Args:
        input_size: H, the features of the shared encoder's output.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, hidden: PackedSequence) -> tuple[PackedSequence, None]:
        """Return the input, and no state."""
        return hidden, None


class MultiTask(SequenceModule):
    """Predict several targets, of one kind or of several, per token and per sequence, from one encoder.

    Each target has a head: a :class:`~seqkit.Tagger`, :class:`~seqkit.Classifier` or :class:`~seqkit.Regressor`
    with its own loss, pooling, decoder, metrics and ``dropout`` of the encoder's output. Its metrics are logged as
    ``val_COLUMN_accuracy``. The loss is the weighted sum of the heads' mean losses per unit, and in the gradient
    every unit of a target weighs the same, as in a task of its own.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``, with one target or more.
        heads: By target column, its head, without its ``spec`` and ``encoder``. By default a Tagger for labels per
            token, a Classifier for labels per sequence, a Regressor for values.
        weights: By target column, the weight of its loss; 1 by default.
        main: The target column whose own monitor says which checkpoint is best; by default it is the weighted sum
            of the losses.
        causal: Whether the output at a step may depend on nothing later; refuses an encoder that is bidirectional
            or changes the steps, and a head with a decoder.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The learning-rate schedule, without its optimiser: one of torch's, or of :mod:`seqkit.optim`.
            It gets the number of steps of the fit as ``total_steps`` if it has this argument.
        lr_interval: Whether the schedule is stepped after each ``step`` or ``epoch``. By default after each step if
            it has ``total_steps`` (or is ``CyclicLR``), otherwise after each epoch.
        lr_monitor: The metric of a plateau schedule and its best end, such as ``("val_loss", "min")``; by default
            the task's monitor.
        inputs: ``encoder``, ``embedding``, ``embeddings`` and ``dropout`` (of the encoder's input); see
            :func:`~seqkit.tasks.inputs.build_encoder`.

    Raises:
        ValueError: There is no target; a head, a weight or ``main`` is for a column that is no target; a weight is
            negative; see also :func:`~seqkit.tasks.inputs.build_encoder` and the heads.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        heads: dict[str, Head] | None = None,
        weights: dict[str, float] | None = None,
        main: str | None = None,
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
            spec["inputs"], task=type(self).__name__, causal=causal, aligned=True, **inputs
        )
        targets = spec["targets"]
        if not targets:
            raise ValueError("MultiTask needs a target or more, but the data has none; name columns in `targets`")
        named = {
            "heads": set(heads or ()),
            "weights": set(weights or ()),
            "main": set() if main is None else {main},
        }
        for argument, columns in named.items():
            if unknown := columns - set(targets):
                raise ValueError(f"{argument} for {sorted(unknown)}, but the targets are {list(targets)}")
        for column, weight in (weights or {}).items():
            if weight < 0:
                raise ValueError(f"the weight of target {column!r} is {weight}; give one of at least 0")
        size = cast(int, self.encoder.output_size)
        encoded = {
            side[0]: {"kind": "features", "size": size, "unaligned": i > 0} for i, side in enumerate(self.sides)
        }
        self.columns = list(targets)
        self.weights = [(weights or {}).get(column, 1.0) for column in targets]
        for i, (column, entry) in enumerate(targets.items()):
            build_head = (heads or {}).get(column) or _default_head(entry)
            head = build_head({"inputs": encoded, "targets": {column: entry}}, encoder=IdentityEncoder)
            if causal and isinstance(head, Tagger) and head.decoder is not None:
                raise ValueError(
                    f"MultiTask is causal, but the head of target {column!r} has a decoder, which chooses the tags "
                    f"of a sequence together; leave out the decoder, or set causal=False"
                )
            # A child, which gets Lightning's trainer; named by position, for a column may have any name.
            self.add_module(f"head_{i}", head)
        if main is not None:
            name, mode = self.heads[main].monitor
            self.monitor = (_with_column(name, main), mode)

    @property
    def heads(self) -> "dict[str, Task]":  # type: ignore[override]
        """The head of each target column."""
        return {column: cast(Task, self.get_submodule(f"head_{i}")) for i, column in enumerate(self.columns)}

    def build_metrics(self) -> list[MetricCollection]:
        """Build no metrics: the heads have their own."""
        return []

    def forward(self, inputs: dict[str, PackedSequence]) -> dict[str, Any]:
        """Compute the outputs of a batch by target column; see :meth:`seqkit.Task.forward`."""
        encoded = self.encode(inputs)
        return {column: head.read(encoded) for column, head in self.heads.items()}

    def encode(self, inputs: dict[str, PackedSequence]) -> list[Encoded]:
        """Embed and encode the sequence of each row, or both sequences of a pair."""
        return EncoderParts(self.sides, self.embeddings, self.encoder, self.dropout).encode(inputs)

    def loss_and_outputs(self, batch: Batch, stage: str) -> tuple[Tensor, dict[str, TaskOutput]]:
        """Compute the weighted sum of the heads' losses, and update and log their metrics."""
        results = self(batch.inputs)
        outputs = {column: head.task_output(results[column], batch) for column, head in self.heads.items()}
        losses: list[Tensor] = []
        values: dict[str, Tensor] = {}
        for column, head in self.heads.items():
            loss, found = head.loss_and_update(outputs[column], stage)
            losses.append(loss)
            values |= {_with_column(name, column): value for name, value in found.items()}
        if stage == "train":
            values["train_loss"] = self._weighted([values[f"train_{column}_loss"] for column in self.columns])
        self.log_values(values)
        return self._weighted(losses), outputs

    def predict_step(self, batch: Batch, _: int, *, scores: bool = False) -> Predictions:
        """Predict all targets of a batch, in plain types; attention as ``TARGET_INPUT_attention``."""
        if not len(batch.rows):
            return Predictions([], {})
        encoded = self.encode(batch.inputs)
        found = {column: head.predict_values(encoded, scores=scores) for column, head in self.heads.items()}
        rows, *moved = packed.to_host(
            [batch.rows, *(value for values in found.values() for value in values.values())]
        )
        on_host, columns = iter(moved), dict[str, list[Any]]()
        for column, values in found.items():
            plain = self.heads[column].columns_to_python({name: next(on_host) for name in values})
            # Other columns get the target's name as prefix: two heads may have columns of the same name.
            own = (column, f"{column}_scores", f"{column}_spans")
            columns |= {name if name in own else f"{column}_{name}": values for name, values in plain.items()}
        return Predictions(rows.tolist(), columns)

    def stream(self, batch_size: int | None = None, *, scores: bool = False) -> TaskStream:
        """Open a stream, which reads sequences as their tokens arrive; see :meth:`seqkit.Task.stream`."""
        return TaskStream(self, batch_size, scores=scores)

    def on_train_start(self) -> None:
        """Let each head take the mean number of its units in a step from the training loader's plan."""
        for head in self.heads.values():
            head.on_train_start()

    def on_train_epoch_start(self) -> None:
        """Reset the training metrics of the heads."""
        for head in self.heads.values():
            head.on_train_epoch_start()

    def compute_metrics(self, stage: str) -> dict[str, Tensor]:
        """Compute the heads' losses and metrics over all batches and ranks of a stage, and reset them."""
        values: dict[str, Tensor] = {}
        for column, head in self.heads.items():
            found = head.compute_metrics(stage)
            values |= {_with_column(name, column): value for name, value in found.items()}
        losses = [values[f"{stage}_{column}_loss"] for column in self.columns]
        return {f"{stage}_loss": self._weighted(losses)} | values

    def class_counts(self, stage: str) -> dict[str, int]:
        """Return how many units have each class of each head, by the name of its logged F1."""
        return {
            _with_column(name, column): count
            for column, head in self.heads.items()
            for name, count in head.class_counts(stage).items()
        }

    def _weighted(self, losses: list[Tensor]) -> Tensor:
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()


def _default_head(entry: dict[str, Any]) -> Head:
    if entry["kind"] == "value":
        return Regressor
    return Tagger if entry["per"] == "token" else Classifier


def _with_column(name: str, column: str) -> str:
    """``val_accuracy`` as ``val_COLUMN_accuracy``."""
    stage, _, metric = name.partition("_")
    return f"{stage}_{column}_{metric}"
