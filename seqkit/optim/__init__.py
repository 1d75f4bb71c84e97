"""Learning-rate schedules, and how a task builds its optimiser and its schedule."""

from seqkit.optim.build import Interval, Monitor, Schedule, build_optimizer, schedule_config
from seqkit.optim.schedules import Plateau, Warmup, WarmupConstant, WarmupCosine, WarmupLinear

__all__ = [
    "Interval",
    "Monitor",
    "Plateau",
    "Schedule",
    "Warmup",
    "WarmupConstant",
    "WarmupCosine",
    "WarmupLinear",
    "build_optimizer",
    "schedule_config",
]
