"""Learning-rate schedules."""

from seqkit.optim.schedules import Plateau, WarmupConstant, WarmupCosine, WarmupLinear

__all__ = ["Plateau", "WarmupConstant", "WarmupCosine", "WarmupLinear"]
