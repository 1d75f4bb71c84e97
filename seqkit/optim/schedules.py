"""Learning-rate schedules for tasks: built from an optimiser, the number of steps of the fit, and options."""

import math
import warnings
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

__all__ = ["Plateau", "Warmup", "WarmupConstant", "WarmupCosine", "WarmupLinear"]


class Warmup(LambdaLR):
    """Increase the learning rate linearly from 0 to its peak, then follow :meth:`decay`, which subclasses define.

    Torch's ``SequentialLR`` of ``LinearLR`` and ``CosineAnnealingLR`` has an absolute minimum instead of a share of
    each parameter group's peak, rises again after the last step, and adds up rounding errors, because it computes
    each value from the previous one.

    Args:
        optimizer: The optimiser; its learning rate is the peak.
        total_steps: Number of optimiser steps of the whole fit.
        warmup: Length of the increase: a number of steps from 1, or a share of all steps below 1.
        floor: Final learning rate, as a share of the peak.

    Raises:
        ValueError: ``warmup`` is negative or as long as the fit, or ``floor`` is not in [0, 1].
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, floor: float = 0.0) -> None:
        name = type(self).__name__
        steps = round(warmup * total_steps) if warmup < 1 else round(warmup)
        if warmup < 0 or steps >= total_steps:
            raise ValueError(
                f"{name}: warmup={warmup} is {steps} of the fit's {total_steps} steps; give fewer steps, or a "
                f"share below 1"
            )
        if not 0 <= floor <= 1:
            raise ValueError(f"{name}: floor={floor}; give a share of the learning rate in [0, 1]")
        self.total_steps = total_steps
        self.warmup_steps = steps
        self.floor = floor
        super().__init__(optimizer, self.factor)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the step of a checkpoint, over the steps of the fit that resumes.

        If this fit has another number of steps, a warning says so, because the learning rate may jump.
        """
        saved = state_dict.get("total_steps", self.total_steps)
        if saved != self.total_steps:
            warnings.warn(
                f"{type(self).__name__}: the checkpoint is from a fit of {saved} steps and this fit has "
                f"{self.total_steps}; the learning rate continues at step {state_dict['last_epoch']} of "
                f"{self.total_steps}",
                stacklevel=2,
            )
        own = {"total_steps": self.total_steps, "warmup_steps": self.warmup_steps, "floor": self.floor}
        super().load_state_dict(state_dict | own)

    def factor(self, step: int) -> float:
        """Compute the learning rate at a step, from 0, as a share of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.floor + (1 - self.floor) * self.decay(min(progress, 1.0))

    def decay(self, progress: float) -> float:
        """Compute the share of the way from floor to peak, given the share of the steps after the warm-up."""
        raise NotImplementedError


class WarmupCosine(Warmup):
    """Increase linearly, then decrease by half a cosine; see :class:`Warmup`.

    The decay of Loshchilov and Hutter (2017), https://arxiv.org/abs/1608.03983, without restarts.
    """

    def decay(self, progress: float) -> float:
        """Compute half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * progress))


class WarmupLinear(Warmup):
    """Increase linearly, then decrease linearly; see :class:`Warmup`."""

    def decay(self, progress: float) -> float:
        """Compute a falling line."""
        return 1 - progress


class WarmupConstant(Warmup):
    """Increase linearly, then stay at the peak; see :class:`Warmup`."""

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> None:
        super().__init__(optimizer, total_steps, warmup)

    def decay(self, progress: float) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0


class Plateau(ReduceLROnPlateau):
    """Multiply the learning rate by a factor when the task's monitor has not improved for some epochs.

    This is :class:`torch.optim.lr_scheduler.ReduceLROnPlateau` with other defaults. The task determines the metric
    and whether its minimum or its maximum is best, unless ``lr_monitor`` is given.

    Args:
        optimizer: The optimiser.
        factor: Factor of the learning rate.
        patience: Number of epochs without improvement before the learning rate changes.
        threshold: Smallest relative improvement that counts.
        min_lr: Lower bound of the learning rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.5,
        patience: int = 2,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(optimizer, factor=factor, patience=patience, threshold=threshold, min_lr=min_lr)
