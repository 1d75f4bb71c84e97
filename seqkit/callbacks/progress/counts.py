"""What a fit has done: the batches since the last line, and the share of all epochs and steps."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from seqkit.batch import Batch
from seqkit.callbacks.throughput import Stopwatch
from seqkit.packed import PackedLayout
from seqkit.tasks import SequenceModule
from seqkit.upstream.lightning import training_position


class Counts:
    """What was done since the last line.

    Attributes:
        batches: Number of batches.
        tokens: Number of tokens of this rank.
        scored: Number of batches of the current validation.
        watch: The training's time.
    """

    def __init__(self) -> None:
        self.batches = self.tokens = self.scored = 0
        self.watch = Stopwatch()
        self._total: Tensor | None = None  # on the model's device
        self._units = 0

    @property
    def loss(self) -> float | None:
        """The mean training loss. The host waits for the device."""
        return None if self._total is None else float(self._total / self._units)

    def add(self, batch: Any) -> None:
        """Count a batch; of a batch that is not seqkit's, the tokens are unknown."""
        self.batches += 1
        if isinstance(batch, Batch) and batch.inputs:
            self.tokens += PackedLayout.of(next(iter(batch.inputs.values()))).num_tokens

    def add_loss(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any) -> None:
        """Add the mean loss of a batch, weighted by its number of units. The host does not wait."""
        units, loss = 1, None
        if isinstance(module, SequenceModule) and isinstance(batch, Batch):
            units = module.batch_units(batch) if len(batch.rows) else 0
            loss = trainer.callback_metrics.get("train_loss")
        if loss is None and isinstance(outputs, dict) and "loss" in outputs:
            loss = outputs["loss"] * trainer.accumulate_grad_batches  # Lightning has divided it
        if loss is not None and units:
            if self._total is None:
                self._total = torch.zeros((), dtype=torch.float32, device=loss.device)
            self._total.add_(loss.detach(), alpha=units)
            self._units += units


def share_done(trainer: Trainer) -> float | None:
    """Return the share of a fit that is done by ``max_steps`` and ``max_epochs``; None if it cannot be known."""
    shares = []
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    epochs = epochs_done(trainer)
    if epochs is not None and trainer.max_epochs is not None and trainer.max_epochs > 0:
        shares.append(epochs / trainer.max_epochs)
    return max(shares, default=None)


def epochs_done(trainer: Trainer) -> float | None:
    """Return the number of epochs that are done, with a fraction; None within an epoch of unknown length."""
    epoch, batches, is_over = training_position(trainer)
    if is_over:
        return epoch + 1.0
    total = trainer.num_training_batches
    return epoch + batches / total if 0 < total < math.inf else None
