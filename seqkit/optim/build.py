"""Build the optimiser and the learning-rate schedule of a fit."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seqkit.upstream.torch import set_plateau_mode

Schedule = Callable[[Optimizer, int], LRScheduler]
"""Takes the optimiser and the number of optimiser steps of the whole fit; stepped after each of them.

:mod:`seqkit.optim` has some; :class:`torch.optim.lr_scheduler.CosineAnnealingLR` and ``PolynomialLR`` also fit. A
:class:`seqkit.optim.Plateau` is stepped after each epoch, with the task's monitor.
"""


def build_optimizer(
    factory: Callable[[Iterable[Tensor]], Optimizer], parameters: Callable[[], Iterable[Tensor]]
) -> Optimizer:
    """Build an optimiser.

    On a CPU, optimisers of torch that have a ``fused`` step use it (Adam's is several times faster than the
    default), unless ``foreach`` or ``fused`` is given.

    Args:
        factory: The optimiser, without its parameters.
        parameters: Returns the parameters, as ``nn.Module.parameters`` does.
    """
    optimizer = factory(parameters())
    return cast(Any, factory)(parameters(), fused=True) if _can_fuse(optimizer) else optimizer


def schedule_config(
    schedule: Schedule, optimizer: Optimizer, steps: float, monitor: tuple[str, str]
) -> dict[str, Any]:
    """Build a schedule, in the form in which Lightning takes it.

    Args:
        schedule: The schedule.
        optimizer: The optimiser.
        steps: Number of optimiser steps of the whole fit; negative or infinite where it is unknown.
        monitor: The metric for schedules that need one, and whether its ``min`` or its ``max`` is best.

    Raises:
        ValueError: The schedule needs the number of steps, and it is unknown.
    """
    known = 0 <= steps < float("inf")
    scheduler = schedule(optimizer, int(steps) if known else 1)
    if isinstance(scheduler, ReduceLROnPlateau):
        name, mode = monitor
        set_plateau_mode(scheduler, mode)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": name}
    if not known:
        raise ValueError(
            "lr_scheduler needs the number of steps of the fit, which is unknown for a stream; set the "
            "trainer's max_steps, or use no lr_scheduler"
        )
    return {"scheduler": scheduler, "interval": "step"}


def _can_fuse(optimizer: Optimizer) -> bool:
    """Whether an optimiser has a fused step for a CPU and its options leave the choice to torch."""
    options, signature = optimizer.defaults, inspect.signature(type(optimizer)).parameters
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return (
        "fused" in signature
        and options.get("fused", False) is None
        and options.get("foreach") is None
        and not options.get("differentiable")
        and all(parameter.device.type == "cpu" and parameter.is_floating_point() for parameter in parameters)
    )
