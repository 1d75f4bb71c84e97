"""How fast real tokens go through training, and how much padding would have cost."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqkit.batch import Batch


class Throughput(Callback):
    """Log tokens and sequences a second on all ranks, and the waste that padding the same batches would make.

    Only tokens that are there count, and only training time: neither validation nor its checkpoints. Waste is
    1 - N / (B x T), summed over the batches of a window.

    Args:
        every: SequenceModule between two values.

    Attributes:
        tokens: Tokens seen by this rank in the whole fit.
        seconds: Time that this rank took for them.

    Raises:
        ValueError: ``every`` is less than 1.
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"Throughput got every={every}; give a number of steps of at least 1")
        self.every = every
        self.tokens = 0
        self.seconds = 0.0
        self._since: float | None = None
        self._steps = self._tokens = self._padded = self._sequences = 0
        self._seconds = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Count a new fit anew."""
        if stage == "fit" and not trainer.global_step:
            self._close_window()
            self.tokens, self.seconds = 0, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count the batch, and log at the end of a window."""
        self._take_time()
        self._steps += 1
        if batch.inputs:
            sizes = next(iter(batch.inputs.values())).batch_sizes
            self._tokens += int(sizes.sum())
            self._padded += len(batch.rows) * len(sizes)
            self._sequences += len(batch.rows)
        if self._steps == self.every:
            pace = trainer.world_size / self._seconds
            values = {
                "tokens/s": self._tokens * pace,
                "waste": 1 - self._tokens / max(self._padded, 1),
            }
            pl_module.log_dict(values, prog_bar=True, batch_size=1)
            pl_module.log("sequences/s", self._sequences * pace, batch_size=1)
            self._close_window()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock; what is left of the window still counts in the totals."""
        self._close_window()
        self._since = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock."""
        self._take_time()
        self._since = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock again."""
        self._since = time.perf_counter()

    def _take_time(self) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self._seconds += now - self._since
        self._since = now

    def _close_window(self) -> None:
        self.tokens += self._tokens
        self.seconds += self._seconds
        self._steps = self._tokens = self._padded = self._sequences = 0
        self._seconds = 0.0
