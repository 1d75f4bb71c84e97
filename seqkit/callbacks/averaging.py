"""The average of the weights, begun when the validation split no longer improves."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seqkit.tasks.module import SequenceModule


class _Average(AveragedModel):
    """The mean of a model's weights; torch's pairs buffers, too, of which the model may have got some since."""

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights as they are."""
        self.n_averaged += 1
        share = 1 / int(self.n_averaged)
        for averaged, own in zip(self.module.parameters(), model.parameters(), strict=True):
            averaged.lerp_(torch.empty_like(averaged).copy_(own), share)  # the average may be on another device


class NonMonotonicAveraging(WeightAveraging):
    """Average the weights of all steps after the validation metric has stopped improving, and validate the average.

    The trigger of NT-ASGD (Merity and others 2017, https://arxiv.org/abs/1708.02182, algorithm 1): a validation
    that is worse than the best of those that lie more than ``patience`` validations back. With plain SGD this is
    NT-ASGD; other optimisers may be averaged as well. From the trigger on, validation, checkpoints and the model
    after the fit have the averaged weights, while training goes on with its own; a resumed run goes on with both.
    Buffers, such as the statistics of a batch normalisation, are not averaged: the model's own stand everywhere.

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
        metric, mode = pl_module.monitor if isinstance(pl_module, SequenceModule) else ("val_loss", "min")
        if trainer.sanity_checking or trainer.state.fn != "fit" or metric not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[metric])
        before = self.history[: max(len(self.history) - self.patience, 0)]
        if before and (value > min(before) if mode == "min" else value < max(before)):
            self.triggered = True
        self.history.append(value)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """What an earlier fit has seen counts no more in a new one; Lightning restores after this."""
        if stage == "fit" and not trainer.global_step:
            self.history, self.triggered = [], False
            self._latest_update_step, self._latest_update_epoch = 0, -1
        if stage == "fit":
            self._average_model = _Average(pl_module, pl_module.device)

    # What Lightning's callback does from the first step on begins with the average, and with parameters alone: it
    # pairs buffers by their order, and a model may get some in a fit (WordVectors' frozen rows).

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Give the model the averaged weights."""
        if self.averages:
            for averaged, own in self._pairs(pl_module):
                own.copy_(averaged)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the averaged weights; after the fit, such as with ``ckpt_path``, those that the model has."""
        if self.averages and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the model's own."""
        if self.averages and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the averaged weights as the model's, and the model's own beside them."""
        if self.averages:
            own = checkpoint["state_dict"]
            super().on_save_checkpoint(trainer, pl_module, checkpoint)
            checkpoint["state_dict"] |= {name: own[name] for name, _ in pl_module.named_buffers() if name in own}

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

    def _pairs(self, pl_module: LightningModule) -> list[tuple[Tensor, Tensor]]:
        """Each averaged weight and the model's own."""
        assert self._average_model is not None
        pairs = zip(self._average_model.module.parameters(), pl_module.parameters(), strict=True)
        return [(averaged.data, own.data) for averaged, own in pairs]

    def _swap(self, pl_module: LightningModule) -> None:
        for averaged, own in self._pairs(pl_module):
            held = own.clone()
            own.copy_(averaged)
            averaged.copy_(held)
