"""Learning-rate schedules."""

from seqkit.optim.schedules import Plateau, Warmup, WarmupConstant, WarmupCosine, WarmupLinear

__all__ = ["Plateau", "Warmup", "WarmupConstant", "WarmupCosine", "WarmupLinear"]
