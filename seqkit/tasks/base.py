"""What all tasks share: parts built from sizes, the step, the normalisation, logging and the optimiser."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import Loss, Values
from seqkit.metrics import MeanLoss
from seqkit.nn.dropout import Dropout
from seqkit.tasks.parts import as_config

Part = Callable[[int], nn.Module]
"""A part that is built once its input size is known: a class, or :func:`functools.partial` of one."""

Schedule = Callable[[torch.optim.Optimizer, int], LRScheduler]
"""Takes the optimiser and the number of optimiser steps of the whole fit; stepped after each of them.

:class:`torch.optim.lr_scheduler.CosineAnnealingLR` is one as it stands.
"""


class Predictions(NamedTuple):
    """What ``predict_step`` returns.

    Attributes:
        rows: The dataset row of each sequence.
        columns: By name, one plain value or list a sequence, in the order of ``rows``.
    """

    rows: list[int]
    columns: dict[str, list[Any]]


class Task(LightningModule, ABC):
    """Embed, encode, drop out, pool if the target is per sequence, and apply one linear head: all on packed data.

    Every unit (token, or sequence where the target is per sequence) weighs the same in the gradient, whichever
    batch, rank or micro-batch it falls in: a batch's loss is summed and divided by the plan's *constant* mean
    number of units an optimiser step, which the :class:`~seqkit.data.LengthBucketSampler` of the training loader
    knows. With another sampler no such constant is known, and the loss is the mean over each batch. What is
    logged is always the plain mean per unit.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``.
        encoder: The encoder, without its ``input_size``; the built module has ``output_size`` and maps a
            PackedSequence to a PackedSequence and its state, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding of every input of ids, without its number of ids.
        embeddings: By column: the embedding of an input that needs its own, without its number of ids or, for
            features, their width. Features without one enter the encoder as they are.
        pooling: For a target per sequence: the pooling, without its ``input_size``.
        loss: The loss, without arguments still to come.
        dropout: Probability of dropping a feature of the encoder's input and of its output.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The schedule; see :data:`Schedule`.
        causal: Whether the output at a step may depend on nothing later; refuses a bidirectional encoder.

    Raises:
        ValueError: The spec has not exactly one target, or one of another kind; an input of ids has no embedding;
            a bidirectional encoder in a causal task.
        TypeError: A part from which a checkpoint could not rebuild the model (a lambda, say).
    """

    monitor: tuple[str, str] = ("val_loss", "min")
    """The metric that says which checkpoint is best, and whether its ``min`` or its ``max`` is."""

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
    ) -> None:
        super().__init__()
        self._save_plain_hyperparameters()
        self.spec = spec
        if len(spec["targets"]) != 1:
            raise ValueError(
                f"{type(self).__name__} needs exactly one target, but the data has {list(spec['targets'])}; "
                f"name one column in `targets`"
            )
        self.target_column, self.target = next(iter(spec["targets"].items()))
        self.loss = loss()
        self.embeddings = nn.ModuleList()  # by position: a column may have any name
        parts = embeddings or {}
        input_size = 0
        for column, entry in spec["inputs"].items():
            part = parts.get(column, embedding if entry["kind"] == "ids" else None)
            if part is not None:
                self.embeddings.append(part(entry["size"]))
                input_size += cast(int, self.embeddings[-1].output_size)
            elif entry["kind"] == "features":
                self.embeddings.append(nn.Identity())
                input_size += entry["size"]
            else:
                raise ValueError(
                    f"input {column!r} holds ids, but no embedding is given; give `embedding`, for example "
                    f"seqkit.nn.Embedding with embedding_dim=64"
                )
        unknown = set(parts) - set(spec["inputs"])
        if unknown:
            raise ValueError(f"embeddings for {sorted(unknown)}, but the inputs are {list(spec['inputs'])}")
        self.encoder = encoder(input_size)
        _check_encoder(self.encoder, causal=causal, task=type(self).__name__)
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
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(features, self.output_size())
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self.metrics = nn.ModuleDict()
        for stage in ("train", "val", "test"):
            collections = [collection.clone(prefix=f"{stage}_") for collection in self.build_metrics()]
            self.metrics[f"{stage}_scores"] = nn.ModuleList(collections)
            if stage != "train":
                self.metrics[f"{stage}_loss"] = MeanLoss()
        self._units_per_step: float | None = None
        self._rng_state: Tensor | None = None

    # What a task says of itself.

    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs a unit."""

    @abstractmethod
    def build_metrics(self) -> list[MetricCollection]:
        """The metrics of one stage: one collection for each pair that :meth:`measured` gives."""

    @abstractmethod
    def measured(self, output: Values, target: Values) -> Sequence[tuple[Values, Values]]:
        """What the metrics compare: predictions and targets, one unit a row, or packed."""

    @abstractmethod
    def decode(self, output: Values) -> Values:
        """Turn outputs into predictions in the terms of the target: class ids, multi-hot labels or values."""

    @abstractmethod
    def plain(self, predicted: Tensor) -> list[Any]:
        """The predictions of some units in plain types: label names or numbers, one a unit."""

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss summed over the units that count, and their number."""
        return self.loss.total(output, target)

    # The model.

    def forward(self, inputs: dict[str, PackedSequence]) -> Values:
        """Compute the outputs of a batch.

        Args:
            inputs: By column, packed, data (N, ...).

        Returns:
            Per token: packed, data (N, C). Per sequence: (B, C).

        Raises:
            KeyError: An input column of the spec is missing.
        """
        features = []
        for column, embedding in zip(self.spec["inputs"], self.embeddings, strict=True):
            if column not in inputs:
                raise KeyError(f"the batch lacks the input {column!r}; it has {list(inputs)}")
            features.append(embedding(inputs[column]))
        embedded = features[0] if len(features) == 1 else packed.cat(features)
        hidden, state = self.encoder(self.dropout(embedded))
        if self.pooling is None:
            hidden = self.dropout(hidden)
            return cast(PackedSequence, hidden._replace(data=self.head(hidden.data)))
        pooled = self.pooling(hidden, state)
        return cast(Tensor, self.head(nn.functional.dropout(pooled, self.dropout.p, self.training)))

    # The step, written once.

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage.

        Returns:
            In training, what the optimiser minimises: the sum over units, over the plan's mean number of units a
            step on all ranks, times the number of ranks (whose gradients DDP averages). Otherwise the mean.
        """
        if not len(batch.rows):
            # A rank that the plan's last step left without rows: no gradient, but every parameter takes part.
            return cast(Tensor, sum(parameter.sum() * 0.0 for parameter in self.parameters()))
        target = batch.targets[self.target_column]
        output = self(batch.inputs)
        total, units = self.compute_loss(output, target)
        with torch.no_grad():
            self._measure(stage, output, target, total.detach(), units)
        if stage == "train" and self._units_per_step is not None:
            return total * (self.trainer.world_size / self._units_per_step)
        return total / units.clamp(min=1)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """One micro-batch; see :meth:`step`."""
        return self.step(batch, "train")

    def validation_step(self, batch: Batch, _: int) -> None:
        """One batch of the validation split."""
        self.step(batch, "val")

    def test_step(self, batch: Batch, _: int) -> None:
        """One batch of the test split."""
        self.step(batch, "test")

    def predict_step(self, batch: Batch, _: int) -> Predictions:
        """Predict a batch, in plain types."""
        rows = batch.rows.tolist()
        if not rows:
            return Predictions([], {self.target_column: []})
        predicted = self.decode(self(batch.inputs))
        if isinstance(predicted, PackedSequence):
            column: list[Any] = [self.plain(values) for values in packed.unpack(predicted)]
        else:
            column = self.plain(predicted)
        return Predictions(rows, {self.target_column: column})

    # Hooks of Lightning.

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser and, if there is one, the schedule over all steps of the fit."""
        optimizer = self._optimizer(self.parameters())
        if self._lr_scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if steps < 0 or steps == float("inf"):
            raise ValueError(
                "lr_scheduler needs the number of steps of the fit, which a stream does not tell; set the trainer's"
                " max_steps, or use no lr_scheduler"
            )
        scheduler = self._lr_scheduler(optimizer, int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Take the mean number of units a step from the training loader's plan."""
        loader = self.trainer.train_dataloader
        plans = [getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset")]
        unit = "sequences_per_step" if self.target["per"] == "sequence" else "tokens_per_step"
        self._units_per_step = next((getattr(plan, unit) for plan in plans if hasattr(plan, unit)), None)

    def on_train_epoch_start(self) -> None:
        """Forget the training metrics of the epoch before."""
        for metrics in self._metrics_of("train"):
            metrics.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split."""
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        self._log_epoch("test")

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Go on with the random numbers of the run that was interrupted (dropout draws from them)."""
        if self._rng_state is not None:
            torch.set_rng_state(self._rng_state.cpu())
            self._rng_state = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the task's name and the state of the CPU's random numbers."""
        checkpoint["seqkit_task"] = f"{type(self).__module__}.{type(self).__qualname__}"
        checkpoint["seqkit_rng_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another task.

        Raises:
            ValueError: The checkpoint is another task's.
        """
        own = f"{type(self).__module__}.{type(self).__qualname__}"
        saved = checkpoint.get("seqkit_task", own)
        if saved != own:
            raise ValueError(f"the checkpoint is one of {saved}, but the model is {own}; load it with {saved}")
        self._rng_state = checkpoint.get("seqkit_rng_state")

    # Private.

    def _metrics_of(self, stage: str) -> list[MetricCollection]:
        return cast(list[MetricCollection], list(cast(nn.ModuleList, self.metrics[f"{stage}_scores"])))

    def _measure(self, stage: str, output: Values, target: Values, total: Tensor, units: Tensor) -> None:
        """Take a batch into the metrics; in training, log what it alone gives, scores where Lightning logs them."""
        if stage == "train":
            self._log_values({"train_loss": total / units.clamp(min=1)})
            every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            if (self.trainer.global_step + 1) % max(every, 1):
                return
        else:
            cast(MeanLoss, self.metrics[f"{stage}_loss"]).update(total, units)
        for metrics, pair in zip(self._metrics_of(stage), self.measured(output, target), strict=True):
            if stage == "train":
                self._log_values(metrics(*pair))
            else:
                metrics.update(*pair)

    def _log_epoch(self, stage: str) -> None:
        """Log the metrics of all batches and ranks, and start anew."""
        loss = cast(MeanLoss, self.metrics[f"{stage}_loss"])
        self._log_values({f"{stage}_loss": loss.compute()}, sync_dist=True)
        loss.reset()
        for metrics in self._metrics_of(stage):
            self._log_values(metrics.compute(), sync_dist=True)
            metrics.reset()

    def _log_values(self, values: dict[str, Tensor], *, sync_dist: bool = False) -> None:
        main = self.monitor[0].removeprefix("val_")
        for name, value in values.items():
            bar = name.partition("_")[2] in ("loss", main)
            # Each value is a mean per unit already: there is no batch to weigh it by.
            self.log(name, value, prog_bar=bar, batch_size=1, sync_dist=sync_dist)

    def _save_plain_hyperparameters(self) -> None:
        """Save the constructor's arguments as plain types, in the form from which Lightning rebuilds nested parts.

        The LightningCLI hands in such a form by itself; in a script the parts are classes and partials.
        """
        self.save_hyperparameters(logger=False)
        if "_instantiator" in self.hparams:
            return
        # Lightning collects the arguments of the base classes, too.
        own = inspect.signature(type(self)).parameters
        plain = {name: as_config(name, value) for name, value in self.hparams.items() if name in own}
        self.hparams.clear()
        self.hparams.update(
            plain,
            _class_path=f"{type(self).__module__}.{type(self).__qualname__}",
            _instantiator="lightning.pytorch.cli.instantiate_module",
        )


def _check_encoder(encoder: nn.Module, *, causal: bool, task: str) -> None:
    if not isinstance(getattr(encoder, "output_size", None), int):
        raise ValueError(
            f"encoder {type(encoder).__name__} has no `output_size`; an encoder has `input_size`, `output_size` "
            f"and forward(PackedSequence) -> (PackedSequence, state), as seqkit.nn.LSTM has"
        )
    if causal and any(getattr(module, "bidirectional", False) for module in encoder.modules()):
        raise ValueError(
            f"{task} is causal, but encoder {type(encoder).__name__} is bidirectional: its backward direction "
            f"sees later steps; set bidirectional=False, or causal=False"
        )
