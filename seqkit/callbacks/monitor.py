"""What callbacks watch: the task's monitor, if there is a validation split."""

from lightning.pytorch import LightningModule, Trainer

from seqkit.tasks import SequenceModule


def has_validation(trainer: Trainer) -> bool:
    """Return whether a fit has a validation split.

    Lightning counts a data module that could return validation batches, even if its data has no such split.
    """
    splits = getattr(getattr(trainer, "datamodule", None), "splits", None)
    return trainer.enable_validation and (splits is None or "validation" in splits)


def task_monitor(module: LightningModule) -> tuple[str, str] | None:
    """Return the name of the metric that says which checkpoint is best, and ``min`` or ``max``.

    None for a model that is not one of seqkit's tasks.
    """
    return module.monitor if isinstance(module, SequenceModule) else None
