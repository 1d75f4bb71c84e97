"""What Lightning asks of a task: the steps, logging, the optimiser, checkpoints that rebuild the model."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MetricCollection

from seqkit.batch import Batch
from seqkit.class_paths import public_path
from seqkit.losses import Values
from seqkit.metrics import MeanLoss
from seqkit.tasks.config import as_config

Part = Callable[[int], nn.Module]
"""A part that is built once its input size is known: a class, or :func:`functools.partial` of one."""

Schedule = Callable[[torch.optim.Optimizer, int], LRScheduler]
"""Takes the optimiser and the number of optimiser steps of the whole fit; stepped after each of them.

:mod:`seqkit.optim` has some; :class:`torch.optim.lr_scheduler.CosineAnnealingLR` and ``PolynomialLR`` are such
as they stand. A ``ReduceLROnPlateau`` (:class:`seqkit.optim.Plateau`) is stepped after each epoch, by the
task's monitor.
"""


class Predictions(NamedTuple):
    """What ``predict_step`` returns.

    Attributes:
        rows: The dataset row of each sequence.
        columns: By name, one plain value or list a sequence, in the order of ``rows``.
    """

    rows: list[int]
    columns: dict[str, list[Any]]


class TaskOutput(NamedTuple):
    """What a batch gave for one target; ``test_step`` returns one for each target, by its column.

    Attributes:
        output: What the net computed: packed, data (N, C), or (B, C).
        target: The truth, likewise.
    """

    output: Values
    target: Values


class SequenceModule(LightningModule, ABC):
    """A task's life in Lightning, whatever its model: :class:`~seqkit.tasks.base.Task` is one kind of it.

    A batch's loss is summed over its units and, in training, divided by the plan's *constant* mean number of units
    an optimiser step, so that every unit weighs the same in the gradient; see :meth:`objective`.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The schedule; see :data:`Schedule`.

    Raises:
        TypeError: A part from which a checkpoint could not rebuild the model (a lambda, say).
    """

    monitor: tuple[str, str] = ("val_loss", "min")
    """The metric that says which checkpoint is best, and whether its ``min`` or its ``max`` is."""

    def __init__(self, spec: dict[str, Any], optimizer: OptimizerCallable, lr_scheduler: Schedule | None) -> None:
        super().__init__()
        self._save_plain_hyperparameters()
        self.spec = spec
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self.metrics = nn.ModuleDict()
        self._units_per_step: float | None = None
        self._rng_state: Tensor | None = None

    # What a task says of itself.

    @abstractmethod
    def build_metrics(self) -> list[MetricCollection]:
        """The metrics of one stage."""

    @abstractmethod
    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage (``train``, ``val`` or ``test``)."""

    @abstractmethod
    def predict_step(self, batch: Batch, batch_idx: int) -> Predictions:
        """Predict a batch, in plain types."""

    def plan_units(self, plan: Any) -> float:
        """The mean number of units of a step by the training loader's plan, here of tokens."""
        return float(plan.tokens_per_step)

    # The steps.

    def objective(self, total: Tensor, units: Tensor) -> Tensor:
        """What the optimiser minimises.

        Args:
            total: A batch's loss, summed over its units.
            units: Their number.

        Returns:
            The sum over the plan's mean number of units a step on all ranks, times the number of ranks (whose
            gradients DDP averages). Where no plan is known, the mean over the batch.
        """
        if self._units_per_step is None:
            return total / units.clamp(min=1)
        return total * (self.trainer.world_size / self._units_per_step)

    def no_objective(self) -> Tensor:
        """The loss of a batch without rows, which a rank may get: no gradient, but every parameter takes part."""
        return cast(Tensor, sum(parameter.sum() * 0.0 for parameter in self.parameters()))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """One micro-batch; see :meth:`step`."""
        return self.step(batch, "train")

    def validation_step(self, batch: Batch, _: int) -> None:
        """One batch of the validation split."""
        self.step(batch, "val")

    def test_step(self, batch: Batch, _: int) -> dict[str, TaskOutput] | None:
        """One batch of the test split; where there are targets, callbacks get what came of it."""
        self.step(batch, "test")
        return None

    # Hooks of Lightning.

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser and, if there is one, the schedule over all steps of the fit.

        On a CPU, torch's optimisers that have a ``fused`` step take it (Adam's is several times faster than the
        default), unless ``foreach`` or ``fused`` was given.

        Raises:
            ValueError: The schedule needs the number of steps, and a stream does not tell it.
        """
        optimizer = self._optimizer(self.parameters())
        _fuse(optimizer)
        if self._lr_scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        known = 0 <= steps < float("inf")
        scheduler = self._lr_scheduler(optimizer, int(steps) if known else 1)
        if isinstance(scheduler, ReduceLROnPlateau):
            name, mode = self.monitor
            scheduler._init_is_better(mode, scheduler.threshold, scheduler.threshold_mode)
            scheduler._reset()  # the best so far is the worst there is, which the mode decides
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": scheduler, "interval": "epoch", "monitor": name},
            }
        if not known:
            raise ValueError(
                "lr_scheduler needs the number of steps of the fit, which a stream does not tell; set the trainer's"
                " max_steps, or use no lr_scheduler"
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Take the mean number of units a step from the training loader's plan."""
        loader = self.trainer.train_dataloader
        plans = [getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset")]
        plan = next((plan for plan in plans if hasattr(plan, "tokens_per_step")), None)
        self._units_per_step = None if plan is None else self.plan_units(plan)

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
        """Keep the task's name and the state of the CPU's random numbers on each rank, (ranks, bytes)."""
        checkpoint["seqkit_task"] = public_path(type(self))
        states = [torch.get_rng_state()]
        if self._trainer is not None and self.trainer.world_size > 1:
            states *= self.trainer.world_size
            torch.distributed.all_gather_object(states, states[self.trainer.global_rank])
        checkpoint["seqkit_rng_state"] = torch.stack(states)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another task.

        Raises:
            ValueError: The checkpoint is another task's.
        """
        own = public_path(type(self))
        saved = checkpoint.get("seqkit_task", own)
        if saved != own:
            raise ValueError(f"the checkpoint is one of {saved}, but the model is {own}; load it with {saved}")
        # Only a fit goes on: neither a model that was loaded to be fitted anew, nor one that is tested.
        if self._trainer is not None and self._trainer.state.fn == "fit":
            states = checkpoint.get("seqkit_rng_state", torch.empty(0, 0, dtype=torch.uint8))
            rank = self.trainer.global_rank
            # A copy: torch sets a state from the beginning of its memory, whatever part of it the tensor is.
            self._rng_state = states[rank].clone() if rank < len(states) else None

    # Private.

    def _add_metrics(self) -> None:
        """Make the metrics of all stages, once :meth:`build_metrics` can."""
        for stage in ("train", "val", "test"):
            collections = [collection.clone(prefix=f"{stage}_") for collection in self.build_metrics()]
            self.metrics[f"{stage}_scores"] = nn.ModuleList(collections)
            if stage != "train":
                self.metrics[f"{stage}_loss"] = MeanLoss()

    def _metrics_of(self, stage: str) -> list[MetricCollection]:
        return cast(list[MetricCollection], list(cast(nn.ModuleList, self.metrics[f"{stage}_scores"])))

    def _measure(
        self, stage: str, total: Tensor, units: Tensor, metric_inputs: Callable[[], Sequence[tuple[Values, Values]]]
    ) -> None:
        """Take a batch into the metrics, and log what training logs of a batch."""
        self._log_values(self._taken(stage, total, units, metric_inputs))

    def _taken(
        self, stage: str, total: Tensor, units: Tensor, metric_inputs: Callable[[], Sequence[tuple[Values, Values]]]
    ) -> dict[str, Tensor]:
        """Take a batch into the metrics; in training, give its own values, scores where Lightning logs them."""
        values: dict[str, Tensor] = {}
        if stage == "train":
            values["train_loss"] = total / units.clamp(min=1)
            every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            if (self.trainer.global_step + 1) % max(every, 1):
                return values
        else:
            cast(MeanLoss, self.metrics[f"{stage}_loss"]).update(total, units)
        for metrics, pair in zip(self._metrics_of(stage), metric_inputs(), strict=True):
            if stage == "train":
                values |= metrics(*pair)
            else:
                metrics.update(*pair)
        return values

    def _log_epoch(self, stage: str) -> None:
        """Log the metrics of all batches and ranks, and start anew."""
        self._log_values(self._epoch_values(stage), sync_dist=True)

    def _epoch_values(self, stage: str) -> dict[str, Tensor]:
        """The metrics of all batches and ranks, which start anew."""
        loss = cast(MeanLoss, self.metrics[f"{stage}_loss"])
        values = {f"{stage}_loss": loss.compute()}
        loss.reset()
        for metrics in self._metrics_of(stage):
            values |= metrics.compute()
            metrics.reset()
        return values

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
            _class_path=public_path(type(self)),
            _instantiator="lightning.pytorch.cli.instantiate_module",
        )


def _fuse(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        if group.get("fused", False) is None and group["foreach"] is None and not group["differentiable"]:
            group["fused"] = all(p.device.type == "cpu" and p.is_floating_point() for p in group["params"]) or None
