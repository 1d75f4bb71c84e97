"""Early stopping by the task's own metric."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from seqkit.callbacks.monitor import has_validation, task_monitor


class EarlyStop(EarlyStopping):
    """Stop a fit when the task's ``monitor`` has not improved for some validations.

    An :class:`~lightning.pytorch.callbacks.EarlyStopping` that takes the metric from the task, as
    :class:`~seqkit.callbacks.BestCheckpoint` does.

    Args:
        patience: Number of validations without improvement after which the fit stops.
        min_delta: Smallest change that counts as an improvement.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        super().__init__(monitor="val_loss", patience=patience, min_delta=min_delta)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric from the task, and reset the counters when a new fit starts.

        Raises:
            ValueError: There is no validation split.
        """
        if stage == "fit":
            if not has_validation(trainer):
                raise ValueError(
                    "EarlyStop watches the validation split, but there is none; name one, or hold rows out of the "
                    "training split with data.validation_fraction"
                )
            monitor, mode = task_monitor(pl_module) or (self.monitor, self.mode)
            if not trainer.global_step or (monitor, mode) != (self.monitor, self.mode):
                # The constructor resets everything. Lightning loads the state of a checkpoint after this.
                super().__init__(monitor, abs(self.min_delta), self.patience, mode=mode)
        super().setup(trainer, pl_module, stage)
