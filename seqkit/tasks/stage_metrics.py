"""The metrics of a task by stage: training, validation and test."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqkit.losses import Values, mean_over_units
from seqkit.metrics import ClassCounts, MeanLoss, MetricGroup
from seqkit.tasks.outputs import TaskOutput


class StageMetrics(LightningModule, ABC):
    """Computes the loss and the metrics of each stage over all batches and ranks."""

    counts_unseen_labels = False
    """Whether targets may hold labels that training lacks; see :meth:`set_unseen`."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = MetricGroup()
        self._unseen: dict[str, list[str]] = {}  # by stage, labels that training lacks

    @property
    @abstractmethod
    def heads(self) -> Mapping[str, "StageMetrics"]:
        """By target column, the task that scores it: the task itself, or one head of several."""

    @abstractmethod
    def build_metrics(self) -> list[MetricCollection]:
        """Build the metrics of one stage: one collection for each pair that :meth:`metric_inputs` gives."""

    def metric_inputs(self, output: Values, target: Values) -> Sequence[tuple[Values, Values]]:
        """Return the arguments of the metrics: predictions and targets, one unit a row, or packed."""
        raise NotImplementedError(f"{type(self).__name__} has no metrics of its own")

    def set_unseen(self, stage: str, names: Sequence[str]) -> None:
        """Prepare an evaluation: build the metrics again if the split has other labels that training lacks.

        Their ids follow the classes; only a task with ``counts_unseen_labels`` gets any.
        """
        if list(names) != self._unseen.get(stage, []):
            self._unseen[stage] = list(names)
            with self.device:
                self.metrics[f"{stage}_scores"] = self._build_stage(stage)

    def on_train_epoch_start(self) -> None:
        """Reset the training metrics."""
        for metrics in self._metrics_of("train"):
            metrics.reset()

    def on_validation_start(self) -> None:
        """Let each head count the labels of the validation split that training lacks."""
        _take_unseen(self.heads, "val", self.trainer.val_dataloaders)

    def on_test_start(self) -> None:
        """Let each head count the labels of the test split that training lacks."""
        _take_unseen(self.heads, "test", self.trainer.test_dataloaders)

    def add_metrics(self) -> None:
        """Add the metrics of all stages; called at the end of the constructor."""
        for stage in ("train", "val", "test"):
            self.metrics[f"{stage}_scores"] = self._build_stage(stage)
            if stage != "train":
                self.metrics[f"{stage}_loss"] = MeanLoss()

    def update_metrics(self, stage: str, total: Tensor, units: Tensor, output: TaskOutput) -> dict[str, Tensor]:
        """Update the metrics of a stage with a batch.

        Args:
            stage: ``train``, ``val`` or ``test``.
            total: The batch's loss, summed over its units.
            units: Their number.
            output: The batch's output.

        Returns:
            What to log of this batch alone: in training the loss and, in steps that Lightning logs, the metrics.
        """
        values: dict[str, Tensor] = {}
        if stage == "train":
            values["train_loss"] = mean_over_units(total, units)
            every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            if (self.trainer.global_step + 1) % max(every, 1):
                return values
        else:
            cast(MeanLoss, self.metrics[f"{stage}_loss"]).update(total, units)
        for metrics, pair in zip(self._metrics_of(stage), self.metric_inputs(*output), strict=True):
            if stage == "train":
                values |= metrics(*pair)
            else:
                metrics.update(*pair)
        return values

    def compute_metrics(self, stage: str) -> dict[str, Tensor]:
        """Compute the loss and the metrics over all batches and ranks of a stage, and reset them."""
        loss = cast(MeanLoss, self.metrics[f"{stage}_loss"])
        values = {f"{stage}_loss": loss.compute()}
        loss.reset()
        for metrics in self._metrics_of(stage):
            values |= metrics.compute()
            metrics.reset()
        return values

    def class_counts(self, stage: str) -> dict[str, int]:
        """Return how many units of a stage's last evaluation have each class, by the name of its logged F1."""
        return {
            f"{stage}_{name}": count
            for metrics in self._metrics_of(stage)
            for metric in metrics.values(copy_state=False)
            if isinstance(metric, ClassCounts)
            for name, count in metric.class_counts().items()
        }

    def _build_stage(self, stage: str) -> nn.ModuleList:
        return nn.ModuleList([collection.clone(prefix=f"{stage}_") for collection in self.build_metrics()])

    def _metrics_of(self, stage: str) -> list[MetricCollection]:
        return cast(list[MetricCollection], list(cast(nn.ModuleList, self.metrics[f"{stage}_scores"])))


def _take_unseen(heads: Mapping[str, StageMetrics], stage: str, loaders: Any) -> None:
    """Let heads count the labels of the targets that training lacks; see `StageMetrics.set_unseen`.

    Args:
        heads: By target, its head.
        stage: ``val`` or ``test``.
        loaders: The trainer's loader, or several; those of `SequenceDataModule` have ``unseen_labels``.

    Raises:
        ValueError: Several loaders have different ones, so that their ids mean different labels.
    """
    each = loaders.values() if isinstance(loaders, Mapping) else loaders
    several = list(each) if isinstance(loaders, Mapping | list | tuple) else [loaders]
    found = [dict(getattr(loader, "unseen_labels", {})) for loader in several] or [{}]
    if any(other != found[0] for other in found[1:]):
        raise ValueError(
            f"the loaders have different labels that the training split lacks: {found}; evaluate one after the "
            f"other, or name all labels: Labels(names=[...])"
        )
    for column, head in heads.items():
        head.set_unseen(stage, found[0].get(column, []))
