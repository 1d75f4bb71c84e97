"""Checkpoints of the best and of the last epoch."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from seqkit.callbacks.monitor import has_validation, task_monitor


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoint with the best value of the task's ``monitor``, and the last one.

    A :class:`~lightning.pytorch.callbacks.ModelCheckpoint` that takes the metric from the task. Without a
    validation split there is no metric, and only the last checkpoint is kept. Of two equal values the later one is
    better: on a small validation split many epochs reach the same accuracy, and the first of them is the least
    trained.

    Args:
        dirpath: The folder; by default ``checkpoints`` in the logger's folder.
        filename: The best checkpoint's name, without ``.ckpt``.
    """

    def __init__(self, dirpath: str | None = None, filename: str = "best") -> None:
        super().__init__(dirpath=dirpath, filename=filename, save_last=True)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether a value is as good as the best so far, or better."""
        tied = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        return tied or super().check_monitor_top_k(trainer, current)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric from the task, and forget earlier checkpoints when a new fit starts."""
        watched = task_monitor(pl_module) if has_validation(trainer) else None
        monitor, mode = watched or (self.monitor, self.mode)
        if stage == "fit" and not trainer.global_step:
            # The constructor resets everything. Lightning loads the state of a checkpoint after this.
            folder = self.dirpath
            super().__init__(filename=self.filename, monitor=monitor, mode=mode, save_last=True)
            self.dirpath = folder
        self.monitor, self.mode = monitor, mode
        super().setup(trainer, pl_module, stage)
