"""The checkpoint of the best epoch, by the task's own measure."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from seqkit.tasks.module import SequenceModule


def validates(trainer: Trainer) -> bool:
    """Whether a fit will have a validation split; Lightning counts one that a data module might have given."""
    splits = getattr(getattr(trainer, "datamodule", None), "splits", None)
    return trainer.enable_validation and (splits is None or "validation" in splits)


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoint with the best value of the task's ``monitor``, and the last one.

    A :class:`~lightning.pytorch.callbacks.ModelCheckpoint` that asks the task what to watch. Without a validation
    split there is nothing to watch, and the last checkpoint is kept. Of equal values the later one is better: on a
    small validation split many epochs reach the same accuracy, and the first of them has learned least.

    Args:
        dirpath: The folder; by default ``checkpoints`` in the logger's.
        filename: The best checkpoint's name, without ``.ckpt``.
    """

    def __init__(self, dirpath: str | None = None, filename: str = "best") -> None:
        super().__init__(dirpath=dirpath, filename=filename, save_last=True)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether a value is as good as the best so far."""
        tied = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        return tied or super().check_monitor_top_k(trainer, current)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the task what to watch."""
        if isinstance(pl_module, SequenceModule) and validates(trainer):
            self.monitor, self.mode = pl_module.monitor
        if (
            stage == "fit" and not trainer.global_step
        ):  # an earlier fit's are not this one's; Lightning restores later
            self.best_k_models = {}
            self.best_model_path = self.kth_best_model_path = self.last_model_path = ""
            self.best_model_score = self.current_score = None
            self.kth_value = torch.tensor(-torch.inf if self.mode == "max" else torch.inf)
            self._last_global_step_saved = 0
        super().setup(trainer, pl_module, stage)
