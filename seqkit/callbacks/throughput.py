"""Training speed in tokens per second, and the waste that padding would add."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from seqkit.batch import Batch
from seqkit.packed import PackedLayout
from seqkit.upstream.lightning import bar_reads_each_step


class Stopwatch:
    """Measures the seconds during which it runs.

    Attributes:
        seconds: The sum up to the last :meth:`stop` or :meth:`lap`.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Run from now on."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stop; nothing happens if it does not run."""
        self.lap()
        self._since = None

    def lap(self) -> None:
        """Bring ``seconds`` up to date, and run on."""
        if self._since is not None:
            now = time.perf_counter()
            self.seconds += now - self._since
            self._since = now


class Throughput(Callback):
    """Log tokens and sequences per second on all ranks, and the waste of padding the same batches.

    Only the tokens of the data count, without any padding, and only training time, without validation and its
    checkpoints. The waste is 1 - N / (B x T), summed over the batches of a window.

    A fit that resumes continues the counts in the checkpoint, which are those of the first rank.

    Args:
        every: Number of batches in a window. Values are logged at the end of each window.

    Attributes:
        tokens: Tokens that this rank has trained on in the whole fit.
        seconds: Training time of this rank in the whole fit.

    Raises:
        ValueError: ``every`` is less than 1.
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"Throughput got every={every}; give a number of steps of at least 1")
        self.every = every
        self.tokens = 0
        self.seconds = 0.0
        # Of the current window:
        self._batches = self._tokens = self._padded = self._sequences = 0
        self._watch = Stopwatch()

    @property
    def tokens_per_second(self) -> float:
        """The mean speed of this rank in the whole fit; 0 before the first epoch ends."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Reset the counters when a new fit starts."""
        if stage == "fit" and not trainer.global_step:
            self._close_window()
            self.tokens, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, with those of the current window."""
        return {"tokens": self.tokens + self._tokens, "seconds": self.seconds + self._watch.seconds}

    def on_load_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Continue the counts of a fit; an evaluation has none."""
        saved = checkpoint["callbacks"].get(self.state_key)
        if saved is not None and trainer.state.fn == TrainerFn.FITTING:
            self.tokens, self.seconds = saved["tokens"], saved["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock: an epoch that is resumed has no start."""
        self._watch.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._watch.start()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count the batch, and log at the end of a window."""
        self._watch.lap()
        self._batches += 1
        if batch.inputs:
            layout = PackedLayout.of(next(iter(batch.inputs.values())))
            self._tokens += layout.num_tokens
            self._padded += len(batch.rows) * len(layout.sizes)
            self._sequences += len(batch.rows)
        if self._batches == self.every:
            per_second = trainer.world_size / self._watch.seconds
            values = {
                "tokens/s": self._tokens * per_second,
                "waste": 1 - self._tokens / max(self._padded, 1),
            }
            pl_module.log_dict(values, prog_bar=bar_reads_each_step(trainer), batch_size=1)
            pl_module.log("sequences/s", self._sequences * per_second, batch_size=1)
            self._close_window()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock, and add the unfinished window to the totals."""
        self._close_window()
        self._watch = Stopwatch()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock."""
        self._watch.stop()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock again."""
        self._watch.start()

    def _close_window(self) -> None:
        self.tokens += self._tokens
        self.seconds += self._watch.seconds
        self._batches = self._tokens = self._padded = self._sequences = 0
        self._watch.seconds = 0.0
