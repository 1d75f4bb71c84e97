"""A task in Lightning: steps, metrics, logging, the optimiser, and checkpoints that rebuild the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, cast

from lightning.pytorch import Trainer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam

from seqkit.batch import Batch
from seqkit.class_paths import public_path
from seqkit.kernels import available
from seqkit.losses import Values, mean_over_units
from seqkit.metrics import ReportMetric
from seqkit.optim import Interval, Monitor, Schedule, build_optimizer, schedule_config
from seqkit.tasks.checkpoints.config import hide_typed_dicts
from seqkit.tasks.checkpoints.random_state import rank_random_state, restore_random_state, save_random_state
from seqkit.tasks.checkpoints.rebuild import other_task
from seqkit.tasks.outputs import Predictions, RowReport, TaskOutput
from seqkit.tasks.prediction import PredictingModule
from seqkit.tasks.sharing.module import SharedModule
from seqkit.tasks.stage_metrics import StageMetrics
from seqkit.upstream.lightning import bar_reads_each_step, logged_batch


class OptimizerOptions(TypedDict, total=False):
    """The keyword arguments that tasks pass on to :class:`SequenceModule`."""

    optimizer: OptimizerCallable
    lr_scheduler: Schedule | None
    lr_interval: Interval | None
    lr_monitor: Monitor | None


Part = Callable[[int], nn.Module]
"""A part that is built once its input size is known: a class, or :func:`functools.partial` of one."""


class SequenceModule(StageMetrics, PredictingModule, SharedModule, ABC):
    """A task in Lightning, whatever its model.

    A batch's loss is summed over its units and, in training, divided by the plan's *constant* mean number of units
    in an optimiser step, so that every unit weighs the same in the gradient; see :meth:`objective`.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The learning-rate schedule, without its optimiser: one of torch's, or of :mod:`seqkit.optim`.
            It gets the number of steps of the fit as ``total_steps`` if it has this argument.
        lr_interval: Whether the schedule is stepped after each ``step`` or ``epoch``. By default after each step if
            it has ``total_steps`` (or is ``CyclicLR``), otherwise after each epoch.
        lr_monitor: The metric of a plateau schedule and its best end, such as ``("val_loss", "min")``; by default
            the task's monitor.

    Attributes:
        lr_scheduler: The argument; it may be replaced before a fit.

    Raises:
        TypeError: A part from which a checkpoint could not rebuild the model (a lambda, say).
        ValueError: ``lr_interval`` or ``lr_monitor`` without ``lr_scheduler``.
    """

    monitor: tuple[str, str] = ("val_loss", "min")
    """The metric that says which checkpoint is best, and whether its ``min`` or its ``max`` is best."""

    summary_title = "true → predicted"
    """Title of the report's column with the summaries of :meth:`describe_rows`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        hide_typed_dicts(cls)

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        lr_interval: Interval | None = None,
        lr_monitor: Monitor | None = None,
    ) -> None:
        super().__init__()
        self.save_plain_hyperparameters()
        self.spec = spec
        self._optimizer = optimizer
        if lr_scheduler is None and (lr_interval, lr_monitor) != (None, None):
            raise ValueError("lr_interval and lr_monitor belong to an lr_scheduler, but there is none")
        self.lr_scheduler = lr_scheduler
        self.lr_interval = lr_interval
        self.lr_monitor = lr_monitor
        self._units_per_step: float | None = None
        self._random_state: dict[str, Tensor] = {}

    # What a task defines.

    @property
    @abstractmethod
    def heads(self) -> "dict[str, SequenceModule]":
        """By target column, the task that scores it: the task itself, or one head of several."""

    @abstractmethod
    def loss_and_outputs(self, batch: Batch, stage: str) -> tuple[Tensor, dict[str, TaskOutput]]:
        """Compute a batch's loss, update the metrics of the stage, and log the batch's values.

        Args:
            batch: A batch of at least one row.
            stage: ``train``, ``val`` or ``test``.

        Returns:
            In training the :meth:`objective`, otherwise the mean loss; and the outputs by target column.
        """

    @abstractmethod
    def predict_step(self, batch: Batch, batch_idx: int, *, scores: bool = False) -> Predictions:
        """Predict a batch, in plain types.

        Args:
            batch: The batch.
            batch_idx: Its number; not used.
            scores: Whether to return the probabilities of labels, too, as ``TARGET_scores``.
        """

    def plan_units(self, plan: Any) -> float:
        """Return the mean number of units in a step by the training loader's plan, here of tokens."""
        return float(plan.tokens_per_step)

    def batch_units(self, batch: Batch) -> int:
        """Return the number of units in a batch, here of tokens: the weight of what :meth:`log` gets."""
        return len(next(iter(batch.inputs.values())).data)

    # What a task reports after a test.

    def build_report(self) -> list[ReportMetric]:
        """Build the metrics that the :class:`~seqkit.callbacks.Report` prints and writes after a test."""
        return []

    def report_inputs(self, output: Values, target: Values) -> Sequence[tuple[Any, ...]]:
        """Return the arguments of each metric of :meth:`build_report`; by default those of the metrics."""
        return self.metric_inputs(output, target)

    def sequence_losses(self, output: TaskOutput) -> Tensor:
        """Return the mean loss per unit of each sequence, (B,); 0 where no unit counts."""
        raise NotImplementedError(f"{type(self).__name__} has no loss for each sequence")

    def describe_rows(self, output: TaskOutput, places: Sequence[int]) -> list[RowReport]:  # noqa: ARG002
        """Describe some sequences of a batch for a report.

        Args:
            output: The batch's output.
            places: Which of the B sequences.
        """
        return [RowReport({}) for _ in places]

    # The steps.

    def objective(self, total: Tensor, units: Tensor) -> Tensor:
        """Return what the optimiser minimises.

        Args:
            total: A batch's loss, summed over its units.
            units: Their number.

        Returns:
            The sum divided by the plan's mean number of units in a step on all ranks, times the number of ranks
            (over which DDP averages gradients). Without a plan, the mean over the batch.
        """
        if self._units_per_step is None:
            return mean_over_units(total, units)
        return total * (self.trainer.world_size / self._units_per_step)

    def no_objective(self) -> Tensor:
        """Return a loss of 0 for a batch without rows, which a rank may get; every parameter takes part for DDP."""
        return cast(Tensor, sum(parameter.sum() * 0.0 for parameter in self.parameters()))

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss, update the metrics of the stage (``train``, ``val`` or ``test``) and log."""
        return self.loss_and_outputs(batch, stage)[0] if len(batch.rows) else self.no_objective()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Compute the objective of one micro-batch."""
        return self.step(batch, "train")

    def validation_step(self, batch: Batch, _: int) -> None:
        """Score one batch of the validation split."""
        self.step(batch, "val")

    def test_step(self, batch: Batch, _: int) -> dict[str, TaskOutput]:
        """Score one batch of the test split, and give callbacks its outputs by target column."""
        return self.loss_and_outputs(batch, "test")[1] if len(batch.rows) else {}

    # Hooks of Lightning.

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser and, if one is given, its schedule."""
        # Lightning does not clip gradients in mixed precision where the optimiser's step is fused.
        clips = getattr(self.trainer, "gradient_clip_val", None)
        mixed = "mixed" in str(getattr(self.trainer, "precision", ""))
        optimizer = build_optimizer(self._optimizer, self.parameters, may_fuse=not (clips and mixed))
        if self.lr_scheduler is None:
            return optimizer
        schedule = schedule_config(
            self.lr_scheduler,
            optimizer,
            lambda: self.trainer.estimated_stepping_batches,
            interval=self.lr_interval,
            monitor=self.lr_monitor,
            task_monitor=self.monitor,
        )
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": schedule})

    def on_fit_start(self) -> None:
        """Say where a fit on a CPU has no compiled code."""
        if self.device.type == "cpu" and "native" not in available():
            rank_zero_info(
                "There is no compiled code for recurrent layers here: they run in plain torch, which is slower. "
                "`python -m seqkit doctor` says why, and what to do."
            )

    def on_train_start(self) -> None:
        """Take the mean number of units in a step from the training loader's plan."""
        loader = self.trainer.train_dataloader
        plans = [getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset")]
        plan = next((plan for plan in plans if hasattr(plan, "tokens_per_step")), None)
        self._units_per_step = None if plan is None else self.plan_units(plan)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split."""
        self.log_values(self.compute_metrics("val"), sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        self.log_values(self.compute_metrics("test"), sync_dist=True)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Restore the random state of an interrupted run (dropout draws from it)."""
        if self._random_state:
            restore_random_state(self._random_state, self.device)
            self._random_state = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the task's name and torch's random state on each rank."""
        checkpoint["seqkit_task"] = public_path(type(self))
        save_random_state(checkpoint, self.attached_trainer, self.device, self._random_state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state for a fit that resumes.

        Raises:
            ValueError: The checkpoint is another task's.
        """
        own = public_path(type(self))
        saved = checkpoint.get("seqkit_task", own)
        if saved not in (own, f"{type(self).__module__}.{type(self).__qualname__}"):
            raise ValueError(other_task(saved, own))
        trainer = self.attached_trainer
        # Neither a test nor a new fit of a loaded model resumes.
        if trainer is not None and trainer.training:
            self._random_state = rank_random_state(checkpoint, trainer)

    @property
    def attached_trainer(self) -> Trainer | None:
        """The trainer, or None where there is none, as in ``load_from_checkpoint``."""
        try:
            return self.trainer
        except RuntimeError:
            return None

    # Logging.

    def log(self, name: str, value: Any, *args: Any, batch_size: int | None = None, **options: Any) -> None:
        """Log a value, as Lightning does; without ``batch_size``, an epoch's mean weighs it by :meth:`batch_units`.

        A mean over the units of a batch thus gives the mean over the units of the epoch. Another value needs its
        weight as ``batch_size``, such as ``len(batch.rows)`` for a mean over the sequences of a :class:`Tagger`.
        :meth:`log_dict` logs by this method.
        """
        batch = None if batch_size is not None else logged_batch(self.attached_trainer)
        if isinstance(batch, Batch):
            batch_size = self.batch_units(batch)
        super().log(name, value, *args, batch_size=batch_size, **options)  # type: ignore[misc]

    def log_values(self, values: dict[str, Tensor], *, sync_dist: bool = False) -> None:
        """Log values; the loss and the monitored metric also go to the progress bar, if there is one."""
        monitored = self.monitor[0].removeprefix("val_")
        has_bar = bar_reads_each_step(self.attached_trainer)
        for name, value in values.items():
            bar = has_bar and name.partition("_")[2] in ("loss", monitored)
            # Each value is already a mean per unit, so batches need no weight.
            self.log(name, value, prog_bar=bar, batch_size=1, sync_dist=sync_dist)
