"""Learning-rate schedules as tasks take them: an optimiser, the number of steps of the fit, and options."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

__all__ = ["Plateau", "WarmupConstant", "WarmupCosine", "WarmupLinear"]


class _Warmup(LambdaLR):
    """Rise linearly from 0 over the first steps, then follow :meth:`after`.

    Args:
        optimizer: The optimiser, whose learning rate is the peak.
        total_steps: Optimiser steps of the whole fit.
        warmup: The rise: a number of steps from 1 on, or a share of all steps below 1.
        floor: Share of the peak at the end.

    Raises:
        ValueError: The rise is negative or as long as the fit, or the floor is not in [0, 1].
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float, floor: float) -> None:
        name = type(self).__name__
        steps = round(warmup * total_steps) if warmup < 1 else round(warmup)
        if warmup < 0 or steps >= total_steps:
            raise ValueError(
                f"{name} got warmup={warmup}, {steps} of the fit's {total_steps} steps; give fewer steps, or a "
                f"share below 1"
            )
        if not 0 <= floor <= 1:
            raise ValueError(f"{name} got floor={floor}; give a share of the learning rate in [0, 1]")
        self.total_steps = total_steps
        self.warmup_steps = steps
        self.floor = floor
        super().__init__(optimizer, self.factor)

    def factor(self, step: int) -> float:
        """The share of the peak at a step, from 0."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        passed = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.floor + (1 - self.floor) * self.after(min(passed, 1.0))

    def after(self, passed: float) -> float:
        """The share of the way from floor to peak when a share of the time after the rise has passed."""
        raise NotImplementedError


class WarmupCosine(_Warmup):
    """Rise linearly, then fall by half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).

    Args:
        optimizer: The optimiser, whose learning rate is the peak.
        total_steps: Optimiser steps of the whole fit.
        warmup: The rise: a number of steps from 1 on, or a share of all steps below 1.
        floor: Share of the peak at the end.

    Raises:
        ValueError: The rise is negative or as long as the fit, or the floor is not in [0, 1].
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, floor: float = 0.0) -> None:
        super().__init__(optimizer, total_steps, warmup, floor)

    def after(self, passed: float) -> float:
        """Half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * passed))


class WarmupLinear(_Warmup):
    """Rise linearly, then fall linearly.

    Args:
        optimizer: The optimiser, whose learning rate is the peak.
        total_steps: Optimiser steps of the whole fit.
        warmup: The rise: a number of steps from 1 on, or a share of all steps below 1.
        floor: Share of the peak at the end.

    Raises:
        ValueError: The rise is negative or as long as the fit, or the floor is not in [0, 1].
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, floor: float = 0.0) -> None:
        super().__init__(optimizer, total_steps, warmup, floor)

    def after(self, passed: float) -> float:
        """A line."""
        return 1 - passed


class WarmupConstant(_Warmup):
    """Rise linearly, then stay.

    Args:
        optimizer: The optimiser, whose learning rate is the peak.
        total_steps: Optimiser steps of the whole fit.
        warmup: The rise: a number of steps from 1 on, or a share of all steps below 1.

    Raises:
        ValueError: The rise is negative or as long as the fit.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> None:
        super().__init__(optimizer, total_steps, warmup, 0.0)

    def after(self, passed: float) -> float:  # noqa: ARG002
        """The peak."""
        return 1.0


class Plateau(ReduceLROnPlateau):
    """Lower the learning rate when the task's monitor has not improved for some epochs.

    :class:`torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped after each epoch's validation; the task says which
    metric counts, and whether its minimum or maximum is best.

    Args:
        optimizer: The optimiser.
        total_steps: Not used; a stream, which does not tell it, will do.
        factor: What the learning rate is multiplied by.
        patience: Epochs without improvement that are let pass.
        threshold: Relative improvement that counts as one.
        min_lr: The learning rate goes no lower.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,  # noqa: ARG002
        factor: float = 0.5,
        patience: int = 2,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(optimizer, factor=factor, patience=patience, threshold=threshold, min_lr=min_lr)
