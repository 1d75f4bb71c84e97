"""The average of the weights, begun when the validation split no longer improves."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from seqkit.tasks.steps import Steps


class NonMonotonicAveraging(WeightAveraging):
    """Average the weights of all steps after the validation metric has stopped improving, and validate the average.

    The trigger of NT-ASGD (Merity and others 2017, https://arxiv.org/abs/1708.02182, algorithm 1): a validation
    that is worse than the best of those that lie more than ``patience`` validations back. With plain SGD this is
    NT-ASGD; other optimisers may be averaged as well. From the trigger on, validation, checkpoints and the model
    after the fit have the averaged weights, while training goes on with its own; a resumed run goes on with both.

    Args:
        patience: n of the paper: validations that may pass without a new best.

    Attributes:
        history: The metric of each validation so far.
        triggered: Whether the average has begun.

    Raises:
        ValueError: ``patience`` is negative.
    """

    def __init__(self, patience: int = 5) -> None:
        if patience < 0:
            raise ValueError(
                f"NonMonotonicAveraging got patience={patience}; give a number of validations, 0 at least"
            )
        super().__init__(use_buffers=False)
        self.patience = patience
        self.history: list[float] = []
        self.triggered = False

    @property
    def averages(self) -> bool:
        """Whether there is an average of some steps."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:  # noqa: ARG002
        """Whether a step belongs to the average."""
        return self.triggered and step_idx is not None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look whether to begin."""
        metric, mode = pl_module.monitor if isinstance(pl_module, Steps) else ("val_loss", "min")
        if trainer.sanity_checking or trainer.state.fn != "fit" or metric not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[metric])
        before = self.history[: max(len(self.history) - self.patience, 0)]
        if before and (value > min(before) if mode == "min" else value < max(before)):
            self.triggered = True
        self.history.append(value)

    # What Lightning's callback does from the first step on begins with the average.

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the model the averaged weights."""
        if self.averages:
            super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the averaged weights; after the fit, such as with ``ckpt_path``, those that the model has."""
        if self.averages and trainer.state.fn == "fit":
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the model's own."""
        if self.averages and trainer.state.fn == "fit":
            super().on_validation_epoch_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the averaged weights as the model's, and the model's own beside them."""
        if self.averages:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up both to go on; whoever tests a checkpoint has its averaged weights already."""
        fits = trainer.state.fn == "fit" and self._average_model is not None
        if fits and "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """What the trigger has seen."""
        return super().state_dict() | {"history": self.history, "triggered": self.triggered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state_dict(state_dict)
        self.history, self.triggered = list(state_dict["history"]), state_dict["triggered"]
