"""Find a learning rate by a range test: raise the rate at each step, and read the curve of the loss."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from rich.console import Console

from seqkit.cli.commands.tuning import trial_trainer
from seqkit.data.lightning import SequenceDataModule
from seqkit.figures import new_figure
from seqkit.files import atomic_write, check_not_read
from seqkit.tasks import SequenceModule

Values = NDArray[np.float64]

_FEWEST_STEPS = 50
_START = 10  # steps, at least, whose rates change nothing yet: the level from which the loss falls
_LEVEL = 1.0  # decades of rates that such steps cover
_SURE = 4.0  # standard errors by which the loss must fall
_WIDTH = 0.15  # standard deviation of the smoothing kernel, in decades
_VALLEY = 0.1  # of the fall; averages that differ less from the lowest count as equal to it
_BELOW_VALLEY = 3.0
_SMALLEST_FALL = 0.01  # of the loss


class Reading(NamedTuple):
    """What a curve says.

    Attributes:
        rate: The suggested learning rate, or None.
        smoothed: The smoothed losses up to the divergence.
        message: Why there is no suggestion, or what is doubtful about it; may be empty.
    """

    rate: float | None
    smoothed: Values
    message: str


def find_lr(
    trainer: Trainer,
    model: SequenceModule,
    data: SequenceDataModule,
    picture: Path,
    *,
    steps: int = 150,
    lowest: float = 1e-6,
    highest: float = 10.0,
) -> float:
    """Raise the learning rate at each step, print the rate that the curve of the loss suggests, and draw the curve.

    The range test of Smith (2017, https://arxiv.org/abs/1506.01186), on a copy of the model and on the training
    batches, from the first again after the last. It ends early where the loss diverges. See :func:`read_curve` for
    the suggestion. On several devices the test runs on one, with as many more batches a step.

    Args:
        trainer: Gives the device, the precision, the clipping and the accumulation of gradients.
        model: The model; it is not changed.
        data: The data.
        picture: The image file to draw; its suffix is the format.
        steps: The number of steps.
        lowest: The rate of the first step, at which the model does not learn yet.
        highest: The rate of the last step.

    Returns:
        The learning rate.

    Raises:
        ValueError: The curve suggests no rate, for example because the loss does not fall (the picture is drawn all
            the same); too few steps; no range of rates; or the picture would overwrite a file of the data.
    """
    if steps < _FEWEST_STEPS:
        raise ValueError(f"find_lr got steps={steps}; give at least {_FEWEST_STEPS}, or the curve is all noise")
    if not 0 < lowest < highest / 10:
        raise ValueError(
            f"find_lr got lowest={lowest} and highest={highest}; give a highest rate of more than ten times the "
            f"lowest"
        )
    check_not_read(picture, data.source)
    rates = np.geomspace(lowest, highest, steps)
    losses = _range_test(trainer, model, data, rates)
    reading = read_curve(rates[: len(losses)], losses)
    _draw(rates[: len(losses)], losses, reading, picture)
    if reading.rate is None:
        raise ValueError(f"find_lr suggests no learning rate: {reading.message}. The curve is in {picture}")
    if reading.message:
        rank_zero_warn(f"find_lr: {reading.message}")
    Console().print(f"learning rate {reading.rate:.1e}: the `lr` of the optimizer (the curve is in {picture})")
    return reading.rate


def read_curve(rates: Sequence[float] | Values, losses: Sequence[float] | Values) -> Reading:
    """Suggest a learning rate from the losses of a range test.

    The losses up to the divergence are averaged over neighbouring rates. The averages close to the lowest form the
    valley, and the suggestion is a third of the rate in the valley's middle, but at least the rate at which half of
    the fall is done. The steepest point is no good suggestion: the first fall, in which a model learns the
    frequencies of the classes or the mean of the values, is the steepest on most data, and rates several times as
    high train faster. Where the loss does not rise again, the suggestion is the lowest rate in the valley.

    Nothing is suggested where the fall is not larger than the noise or than a hundredth of the loss.

    Args:
        rates: The learning rate of each step, rising by a constant factor.
        losses: The mean loss per unit of each step.
    """
    x, values = np.log10(np.asarray(rates, dtype=np.float64)), np.asarray(losses, dtype=np.float64)
    end = divergence(values)
    x, values = x[:end], values[:end]
    if len(values) < 2 * _START:
        return Reading(None, values, f"the loss diverged after {len(values)} steps; start from a lower rate")
    first = max(_START, int(np.searchsorted(x, x[0] + _LEVEL)))
    start = values[:first].mean()
    steps = np.diff(values)
    # One step far up, or the last ones, must not move their neighbours.
    values = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, "edge"), 3), axis=1)
    values = np.minimum(values, _limit(values))
    kernel = np.exp(-0.5 * np.square((x[:, None] - x) / _WIDTH))
    smoothed = (kernel @ values) / kernel.sum(1)
    best = int(smoothed.argmin())
    fall = start - smoothed[best]
    noise = steps[: max(best, 5 * _START)].std() / np.sqrt(2)
    error = noise * np.sqrt(np.square(kernel[best]).sum() / kernel[best].sum() ** 2 + 1 / first)
    if best < _START or fall <= max(_SURE * error, _SMALLEST_FALL * abs(start)):
        return Reading(
            None,
            smoothed,
            f"the loss fell at no rate by more than its noise (from {start:.3g} to {smoothed[best]:.3g}); "
            f"check that the model learns at all, or try more --steps",
        )
    outside = np.flatnonzero(smoothed > smoothed[best] + _VALLEY * fall)
    left, right = outside[outside < best].max(initial=-1) + 1, outside[outside > best].min(initial=len(x)) - 1
    half = int(np.argmax(smoothed <= start - fall / 2))
    rate, message = max(10 ** ((x[left] + x[right]) / 2) / _BELOW_VALLEY, 10 ** x[half]), ""
    if half < first:
        message = f"the loss falls from the first steps on; start from a rate lower than {10 ** x[0]:.1e}"
    elif end is None and right == len(x) - 1:
        rate = 10 ** x[left]
        message = f"the loss does not rise up to the highest rate, {10 ** x[-1]:.1e}; this is where its fall ends"
    return Reading(float(rate), smoothed, message)


def divergence(losses: Sequence[float] | Values) -> int | None:
    """Return the number of steps up to the divergence, or None.

    The loss diverges where it is not finite, or where its exponential average rises as far above the first losses
    as its lowest value is below them (or by a tenth, or by five times their noise).
    """
    average = 0.0
    for i, loss in enumerate(losses):
        if not np.isfinite(loss):
            return i
        average = 0.8 * average + 0.2 * loss
        if i >= _START and average / (1 - 0.8 ** (i + 1)) > _limit(losses[: i + 1]):
            return i + 1
    return None


def _limit(losses: Sequence[float] | Values) -> float:
    """The loss from which a training counts as diverged."""
    first = np.asarray(losses[:_START])
    start, lowest = first.mean(), _running_mean(losses).min()
    return float(start + max(start - lowest, 0.1 * abs(start), 5 * first.std()))


def _running_mean(losses: Sequence[float] | Values) -> Values:
    return np.convolve(losses, np.full(_START, 1 / _START), mode="valid")


def _range_test(trainer: Trainer, model: SequenceModule, data: SequenceDataModule, rates: Values) -> list[float]:
    """Train a copy of the model with the rate of each step, and return the mean loss of each."""
    model, data = copy.deepcopy(model), copy.copy(data)
    model.lr_scheduler = None
    steps = _RaisedRate(rates)
    trial = trial_trainer(
        trainer,
        len(rates),
        steps,
        max_epochs=-1,
        accumulate_grad_batches=trainer.accumulate_grad_batches * trainer.num_devices * trainer.num_nodes,
    )
    with isolate_rng(), Console(stderr=True).status(f"find_lr: {len(rates)} steps"):
        trial.fit(model, datamodule=data)
    return steps.losses


class _RaisedRate(Callback):
    """Sets the rate of each step, keeps its loss, and stops where the losses diverge."""

    def __init__(self, rates: Values) -> None:
        self.losses: list[float] = []
        self._rates = rates
        self._batches: list[float] = []  # of the current step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = float(self._rates[trainer.global_step])

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
        # The objective is divided by a constant number of units, and thus larger for a larger batch.
        self._batches.append(float(trainer.callback_metrics.get("train_loss", outputs["loss"])))
        if trainer.global_step > len(self.losses):
            self.losses.append(float(np.mean(self._batches)))
            self._batches = []
            trainer.should_stop = divergence(self.losses) is not None


def _draw(rates: Values, losses: Sequence[float], reading: Reading, picture: Path) -> None:
    figure = new_figure(7.0, 4.5)
    axes = figure.add_subplot()
    axes.plot(rates, losses, color="#9db8d9", linewidth=0.8, label="each step")
    axes.plot(rates[: len(reading.smoothed)], reading.smoothed, color="#2563a8", label="smoothed")
    if reading.rate is not None:
        axes.axvline(reading.rate, color="#c2410c", linewidth=1.2, label=f"suggested: {reading.rate:.1e}")
    shown = np.concatenate([np.asarray(losses)[:_START], reading.smoothed])
    low, high = shown.min(), shown.max()
    axes.set_ylim(low - 0.1 * (high - low) - 1e-9, high + 0.3 * (high - low) + 1e-9)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    with atomic_write(picture) as temporary:
        figure.savefig(temporary)
