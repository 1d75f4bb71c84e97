"""No more epochs when the task's own measure gets no better."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from seqkit.callbacks.checkpoint import validates
from seqkit.tasks.module import SequenceModule


class EarlyStop(EarlyStopping):
    """Stop a fit when the task's ``monitor`` has not improved for some validations.

    An :class:`~lightning.pytorch.callbacks.EarlyStopping` that asks the task what to watch, as
    :class:`~seqkit.callbacks.BestCheckpoint` does.

    Args:
        patience: Validations without improvement that are let pass.
        min_delta: Improvement that counts as one.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        super().__init__(monitor="val_loss", patience=patience, min_delta=min_delta)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the task what to watch.

        Raises:
            ValueError: There is no validation split.
        """
        if stage == "fit":
            if not validates(trainer):
                raise ValueError(
                    "EarlyStop watches the validation split, but there is none; name one, or hold rows out of the "
                    "training split with data.validation_fraction"
                )
            if isinstance(pl_module, SequenceModule):
                self.monitor, self.mode = pl_module.monitor
                self.min_delta = abs(self.min_delta) * (1 if self.monitor_op is torch.gt else -1)
            if not trainer.global_step:  # what an earlier fit has seen counts no more in a new one
                self.best_score = torch.tensor(-torch.inf if self.mode == "max" else torch.inf)
                self.wait_count = self.stopped_epoch = 0
        super().setup(trainer, pl_module, stage)
