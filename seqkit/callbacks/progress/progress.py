"""How far a run is: a line an epoch, and a bar on a terminal."""

import math
import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from torch import Tensor

from seqkit.callbacks.monitor import task_monitor
from seqkit.callbacks.progress.bar import Bar, has_terminal
from seqkit.callbacks.progress.counts import Counts, epochs_done, share_done
from seqkit.callbacks.progress.line import Field, clock, join_fields, named_value, share, speed
from seqkit.upstream.lightning import find_callbacks, training_position

_REFRESH = 0.25  # seconds between two drawings of the bar


class Progress(ProgressBar):
    """Print one line an epoch, and on a terminal draw a bar below, in one line as well.

    The line has the epoch, the optimiser step, the training loss since the last line (the mean per unit), the
    validation loss and the task's ``monitor``, tokens per second of training on all ranks, the time that the fit
    has taken, and the time left by ``max_epochs``, ``max_steps`` or ``max_time``. A validation within an epoch has
    a line of its own, ``epoch 2.5/10`` after half of the third epoch. ``validate``, ``test`` and ``predict`` have
    one line.

    On a terminal a line is no wider than the terminal: step and times are left out first. Where the output is no
    terminal (a file, a pipe, a notebook), each line is written at once, without colours, and an epoch that takes
    long has further lines.

    A :class:`~lightning.pytorch.callbacks.ProgressBar`: in ``Trainer(callbacks=[Progress()])`` it replaces
    Lightning's bar. The host reads values from the device only for a line and when it draws the bar, four times a
    second. Only the first rank prints.

    Args:
        seconds: The time after which an epoch, or a pass over another split, has a further line where there is no
            bar.

    Raises:
        ValueError: ``seconds`` is not above 0.
    """

    reads_each_step = False

    def __init__(self, seconds: float = 600.0) -> None:
        super().__init__()
        if not seconds > 0:
            raise ValueError(f"Progress got seconds={seconds}; give a time above 0")
        self.seconds = seconds
        self._enabled = True
        self._bar: Bar | None = None
        self._began = self._shown = 0.0  # of the whole run; of the last line or drawing of the bar
        self._first_share = 0.0  # of the fit that an interrupted run has done before
        self._validated = False
        self._total: float = 0.0  # batches of a pass over a split
        self._count = Counts()

    def enable(self) -> None:
        """Print from now on."""
        self._enabled = True

    def disable(self) -> None:
        """Print nothing from now on."""
        self._enabled = False
        self._remove_bar()

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Print above the bar, if there is one."""
        if self._bar is None:
            print(*args, sep=sep, **kwargs, flush=True)
        else:
            self._bar.print(sep.join(map(str, args)))

    # Training.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock, also that of the training: an epoch that is resumed has no start."""
        self._begin()
        self._first_share = share_done(trainer) or 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock of the training."""
        self._count.watch.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; show the training now and then."""
        if not self._enabled:
            return
        self._count.add(batch)
        self._count.add_loss(trainer, pl_module, outputs, batch)
        if not self._is_due():
            return
        if self._bar is None:
            if not training_position(trainer)[2]:  # the epoch's line follows
                self._print_line(self._training(trainer, pl_module, {}))
        else:
            done, total = batch_idx + 1, self.total_train_batches
            values = [Field(_done(done, total)), *self._loss(), *self._speed(), *self._left(trainer)]
            self._bar.draw(f"epoch {_of(trainer.current_epoch + 1, trainer.max_epochs)}", done, total, values)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's line, unless there was one in the last tenth of the epoch."""
        metrics = trainer.callback_metrics  # all ranks: Lightning may have to combine values of all
        if self._count.batches and (self._validated or 10 * self._count.batches >= training_position(trainer)[1]):
            self._print_epoch(trainer, pl_module, metrics)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Remove the bar."""
        self._remove_bar()

    # Other passes over a split.

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock of the training, or start that of ``validate``."""
        self._total = _sum(trainer.num_val_batches)
        if trainer.state.fn == "fit":
            self._count.watch.stop()
            self._count.scored = 0
        else:
            self._begin()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock, and draw the bar."""
        self._total = _sum(trainer.num_test_batches)
        self._begin()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock, and draw the bar."""
        self._total = _sum(trainer.num_predict_batches)
        self._begin()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count the batch; show the validation now and then."""
        if trainer.state.fn != "fit":
            self._show_pass("validate", batch)
        elif self._enabled and self._bar is not None:
            self._count.scored += 1
            if self._is_due():
                done = self._count.scored
                self._bar.draw("validation", done, self._total, [Field(_done(done, self._total))])

    def on_test_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count the batch; show the test now and then."""
        self._show_pass("test", batch)

    def on_predict_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count the batch; show the prediction now and then."""
        self._show_pass("predict", batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a line of the validation, unless it is the epoch's."""
        metrics = trainer.callback_metrics  # all ranks
        if trainer.state.fn != "fit":
            self._end_pass("validate", pl_module, metrics)
        elif not trainer.sanity_checking:
            self._validated = True
            if not training_position(trainer)[2]:
                self._print_epoch(trainer, pl_module, metrics)
            self._count.watch.start()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the test."""
        self._end_pass("test", pl_module, trainer.callback_metrics)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Print the line of the prediction."""
        self._end_pass("predict", pl_module, {})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Remove the bar."""
        self._remove_bar()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Remove the bar."""
        self._remove_bar()

    # Lines.

    def _print_epoch(self, trainer: Trainer, module: LightningModule, metrics: Mapping[str, Tensor]) -> None:
        if self._enabled:
            self._count.watch.lap()
            self._print_line(self._training(trainer, module, metrics if self._validated else {}))
        self._count, self._validated = Counts(), False
        self._shown = time.perf_counter()

    def _training(self, trainer: Trainer, module: LightningModule, metrics: Mapping[str, Tensor]) -> list[Field]:
        """Return the fields of a line of a fit, with the validation's values if it has some."""
        done = epochs_done(trainer)
        epoch = f"in epoch {trainer.current_epoch + 1}" if done is None else f"epoch {share(done)}"
        step = Field(f"step {_of(f'{trainer.global_step:,}', trainer.max_steps)}", rank=2)
        spent = Field(f"{clock(time.perf_counter() - self._began)} spent", rank=3)
        scores = _scores(module, "val", metrics)
        return [
            Field(_of(epoch, trainer.max_epochs)),
            step,
            *self._loss(),
            *scores,
            *self._speed(),
            spent,
            *self._left(trainer),
        ]

    def _loss(self) -> list[Field]:
        loss = self._count.loss
        return [] if loss is None else [named_value("loss", loss)]

    def _speed(self) -> list[Field]:
        return speed(self._count.tokens * self.trainer.world_size, self._count.watch.seconds)

    def _left(self, trainer: Trainer) -> list[Field]:
        """Return the time left in a fit if it can be known."""
        times = [timer.time_remaining() for timer in find_callbacks(trainer, Timer)]
        done = share_done(trainer)
        if done is not None and done > self._first_share:
            times.append((time.perf_counter() - self._began) * (1 - done) / (done - self._first_share))
        left = min((seconds for seconds in times if seconds is not None), default=0.0)
        return [Field(f"{clock(left)} left", rank=1)] if left > 0 else []

    def _begin(self) -> None:
        self._count, self._validated = Counts(), False
        self._began = self._shown = time.perf_counter()
        self._count.watch.start()
        if self._enabled and has_terminal():
            self._bar = Bar()

    def _show_pass(self, name: str, batch: Any) -> None:
        if not self._enabled:
            return
        count = self._count
        count.add(batch)
        if not self._is_due():
            return
        known = 0 < self._total < math.inf
        left = count.watch.seconds * (self._total / count.batches - 1) if known else 0.0
        values = [Field(_done(count.batches, self._total)), *self._speed()]
        values += [Field(f"{clock(left)} left")] if known else []
        if self._bar is None:
            self._print_line([Field(name), *values])
        else:
            self._bar.draw(name, count.batches, self._total, values)

    def _end_pass(self, name: str, module: LightningModule, metrics: Mapping[str, Tensor]) -> None:
        if self._enabled:
            scores = _scores(module, "test" if name == "test" else "val", metrics)
            self._count.watch.lap()
            spent = Field(f"{clock(self._count.watch.seconds)} spent", rank=1)
            self._print_line([Field(name), *scores, *self._speed(), spent])
        self._remove_bar()

    def _print_line(self, fields: list[Field]) -> None:
        self.print(join_fields(fields, None if self._bar is None else self._bar.width))

    # The bar.

    def _is_due(self) -> bool:
        """Return whether it is time for the next line or drawing."""
        now = time.perf_counter()
        if now - self._shown < (self.seconds if self._bar is None else _REFRESH):
            return False
        self._shown = now
        self._count.watch.lap()
        return True

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _scores(module: LightningModule, stage: str, metrics: Mapping[str, Tensor]) -> list[Field]:
    """Return the loss and the monitored metric of a stage, those of them that are logged."""
    monitor = task_monitor(module)
    names = [f"{stage}_loss"]
    if monitor is not None and monitor[0].startswith("val_"):
        names.append(f"{stage}_{monitor[0].removeprefix('val_')}")
    return [named_value(name, float(metrics[name])) for name in dict.fromkeys(names) if name in metrics]


def _of(done: Any, total: int | None) -> str:
    """Format ``done/total``, or ``done`` without a total, which Lightning gives as None or -1."""
    return f"{done}/{total:,}" if (total or 0) > 0 else f"{done}"


def _done(batches: int, total: float) -> str:
    return f"{batches / total:.0%}" if 0 < total < math.inf else f"{batches:,} batches"


def _sum(batches: Any) -> float:
    """Add up the batches of one loader or of several."""
    return float(sum(batches)) if isinstance(batches, list) else float(batches)
