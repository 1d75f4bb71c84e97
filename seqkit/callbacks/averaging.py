"""Averaging of the weights from the step at which validation stops improving."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqkit.callbacks.monitor import task_monitor


class NonMonotonicAveraging(Callback):
    """Average the weights of all steps after the validation metric stops improving, and validate the average.

    The trigger is that of NT-ASGD (Merity and others 2017, https://arxiv.org/abs/1708.02182, algorithm 1): a
    validation that is worse than the best of those more than ``patience`` validations ago. With plain SGD this is
    NT-ASGD; other optimisers work too. After the trigger, validation, checkpoints and the model after the fit have
    the averaged weights, while training continues with the current weights. A checkpoint holds both, and a resumed
    fit continues with both. Buffers, such as the statistics of batch normalisation, are not averaged.

    Args:
        patience: n of the paper: the number of validations that may pass without a new best.

    Attributes:
        history: The metric of each validation so far.
        triggered: Whether averaging has started.
        average: The averaged parameters, in the order of ``model.parameters()``; empty before the first step after
            the trigger.

    Raises:
        ValueError: ``patience`` is negative.
    """

    def __init__(self, patience: int = 5) -> None:
        if patience < 0:
            raise ValueError(
                f"NonMonotonicAveraging got patience={patience}; give a number of validations, 0 at least"
            )
        self.patience = patience
        self.history: list[float] = []
        self.triggered = False
        self.average: list[Tensor] = []
        self._num_averaged = 0
        self._last_step = 0  # the optimiser step that was averaged last
        self._fitting = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Reset the average when a fit starts, and the trigger when it is a new one.

        Lightning loads the state of a checkpoint after this.
        """
        self._fitting = stage == "fit"
        if self._fitting:
            self.average, self._num_averaged = [], 0
            if not trainer.global_step:
                self.history, self.triggered, self._last_step = [], False, 0

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Add the weights to the average after each optimiser step."""
        if not self.triggered or trainer.global_step <= self._last_step:
            return
        self._last_step = trainer.global_step
        self._num_averaged += 1
        if not self.average:
            self.average = [parameter.detach().clone() for parameter in pl_module.parameters()]
            return
        for average, parameter in self._pairs(pl_module):
            # An average from a checkpoint may be on another device.
            average.lerp_(torch.empty_like(average).copy_(parameter), 1 / self._num_averaged)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Swap the averaged weights in; a validation after the fit uses the weights that the model has."""
        if self._fitting:
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Swap the current weights back."""
        if self._fitting:
            self._swap(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start averaging if the metric is worse than the best one more than ``patience`` validations ago."""
        metric, mode = task_monitor(pl_module) or ("val_loss", "min")
        if not self._fitting or trainer.sanity_checking or metric not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[metric])
        before = self.history[: max(len(self.history) - self.patience, 0)]
        if before and (value > min(before) if mode == "min" else value < max(before)):
            self.triggered = True
        self.history.append(value)

    @torch.no_grad()
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Copy the averaged weights into the model."""
        for average, parameter in self._pairs(pl_module):
            parameter.copy_(average)

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Save the averaged weights as the model's, and the current weights under a key of their own.

        The keys are those of :class:`~lightning.pytorch.callbacks.WeightAveraging`.
        """
        if not self.average:
            return
        by_parameter = dict(zip(pl_module.parameters(), self.average, strict=True))
        named = pl_module.named_parameters(remove_duplicate=False)
        averaged = {name: by_parameter[parameter] for name, parameter in named}
        current = checkpoint["state_dict"]
        checkpoint["current_model_state"] = current
        checkpoint["state_dict"] = {name: averaged.get(name, value) for name, value in current.items()}
        checkpoint["averaging_state"] = {"n_averaged": torch.tensor(self._num_averaged)}

    def on_load_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Load the average and the current weights to resume a fit; otherwise the model keeps the average."""
        if self._fitting and "averaging_state" in checkpoint:
            averaged = checkpoint["state_dict"]
            self.average = [averaged[name].detach().clone() for name, _ in pl_module.named_parameters()]
            self._num_averaged = int(checkpoint["averaging_state"]["n_averaged"])
            pl_module.load_state_dict(checkpoint["current_model_state"])

    def state_dict(self) -> dict[str, Any]:
        """Return the metric history and the state of the trigger."""
        return {"latest_update_step": self._last_step, "history": self.history, "triggered": self.triggered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state."""
        self._last_step = state_dict["latest_update_step"]
        self.history, self.triggered = list(state_dict["history"]), state_dict["triggered"]

    def _pairs(self, pl_module: LightningModule) -> Iterable[tuple[Tensor, Tensor]]:
        """Pair each averaged parameter with the model's; no pairs before the first step after the trigger."""
        return zip(self.average, pl_module.parameters(), strict=True) if self.average else ()

    @torch.no_grad()
    def _swap(self, pl_module: LightningModule) -> None:
        for average, parameter in self._pairs(pl_module):
            current = parameter.clone()
            parameter.copy_(average)
            average.copy_(current)
