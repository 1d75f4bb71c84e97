"""Build the optimiser and the learning-rate schedule of a fit."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, ReduceLROnPlateau

from seqkit.upstream.jsonargparse import partial_class
from seqkit.upstream.torch import set_plateau_mode

Schedule = Callable[[Optimizer], LRScheduler] | Callable[[Optimizer, int], LRScheduler]
"""A learning-rate schedule without its optimiser: a class of torch or of :mod:`seqkit.optim`, or a partial of one.

A schedule with an argument ``total_steps`` that is not given gets the number of optimiser steps of the fit under
this name.
"""

Interval = Literal["step", "epoch"]
Monitor = tuple[str, Literal["min", "max"]]


def build_optimizer(
    factory: Callable[[Iterable[Tensor]], Optimizer],
    parameters: Callable[[], Iterable[Tensor]],
    *,
    may_fuse: bool = True,
) -> Optimizer:
    """Build an optimiser.

    On a CPU, optimisers of torch that have a ``fused`` step use it (it is faster than the default),
    unless ``foreach`` or ``fused`` is given.

    Args:
        factory: The optimiser, without its parameters.
        parameters: Returns the parameters, as ``nn.Module.parameters`` does.
        may_fuse: Whether the fit works with a fused step where none is asked for.
    """
    optimizer = factory(parameters())
    fuses = may_fuse and _can_fuse(optimizer)
    return cast(Any, factory)(parameters(), fused=True) if fuses else optimizer


def schedule_config(
    schedule: Schedule,
    optimizer: Optimizer,
    fit_steps: Callable[[], float],
    *,
    interval: Interval | None = None,
    monitor: Monitor | None = None,
    task_monitor: tuple[str, str],
) -> dict[str, Any]:
    """Build a schedule, in the form in which Lightning takes it.

    Args:
        schedule: The schedule.
        optimizer: The optimiser.
        fit_steps: Returns the number of optimiser steps of the whole fit; negative or infinite if it is unknown.
        interval: Whether the schedule is stepped after each optimiser ``step`` or after each ``epoch``. By default
            after each step if the schedule has an argument ``total_steps`` or is torch's ``CyclicLR``, and
            otherwise after each epoch, as in Lightning.
        monitor: For ``ReduceLROnPlateau``: the metric, and whether its ``min`` or its ``max`` is best.
        task_monitor: The task's monitor, the default.

    Raises:
        TypeError: The schedule lacks an argument.
        ValueError: The schedule needs the number of steps, which is unknown or of another interval; ``monitor`` is
            for a schedule that takes no metric.
    """
    given = partial_class(schedule) if isinstance(schedule, partial) else None
    built = partial(given, **cast(partial[Any], schedule).keywords) if given else schedule
    name = getattr(built.func if isinstance(built, partial) else built, "__name__", str(built))
    parameters = inspect.signature(built).parameters
    by_step = "total_steps" in parameters
    options: dict[str, Any] = {}
    if by_step and all(
        # OneCycleLR takes epochs and steps_per_epoch instead.
        parameters[key].default in (None, inspect.Parameter.empty)
        for key in parameters.keys() & {"total_steps", "epochs"}
    ):
        options["total_steps"] = _known_steps(name, fit_steps(), interval)
    missing = [
        key
        for key, parameter in list(parameters.items())[1:]
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and key not in options
    ]
    if missing:
        raise TypeError(
            f"lr_scheduler: {name} lacks {', '.join(missing)}; give it in init_args, or by functools.partial in a "
            f"script. Only total_steps is given by the fit, as to seqkit.optim.WarmupCosine"
        )
    scheduler = cast(Callable[..., LRScheduler], schedule)(optimizer, **options)
    config = {"scheduler": scheduler, "interval": "step" if by_step or isinstance(scheduler, CyclicLR) else "epoch"}
    if interval is not None:
        config["interval"] = interval
    if isinstance(scheduler, ReduceLROnPlateau):
        # Lightning's own class of this name has the metric's name.
        own = (scheduler.monitor, scheduler.mode) if hasattr(scheduler, "monitor") else None
        config["monitor"], mode = monitor or own or task_monitor
        set_plateau_mode(scheduler, mode)
    elif monitor is not None:
        raise ValueError(
            f"lr_monitor={monitor}, but {name} takes no metric; leave it out, or use seqkit.optim.Plateau"
        )
    return config


def _known_steps(name: str, steps: float, interval: Interval | None) -> int:
    if interval == "epoch":
        raise ValueError(
            f"lr_interval='epoch', but {name} takes total_steps in optimiser steps; leave lr_interval out, "
            f"or give total_steps as a number of epochs"
        )
    if not 0 <= steps < float("inf"):
        raise ValueError(
            f"lr_scheduler: {name} needs the number of steps of the fit, which is unknown for a stream; set the "
            f"trainer's max_steps, or use a schedule without total_steps"
        )
    return int(steps)


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
