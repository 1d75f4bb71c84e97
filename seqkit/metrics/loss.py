"""The mean loss and what is computed from it alone."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection


class MeanLoss(Metric):
    """The mean loss a unit over all batches and ranks: the sum of the losses over the number of units."""

    full_state_update = False
    higher_is_better = False
    total: Tensor
    units: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("units", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, total: Tensor, units: Tensor) -> None:
        """Add a batch's sum and number of units."""
        self.total += total.detach().to(self.total.dtype)
        self.units += units

    def compute(self) -> Tensor:
        """The mean loss a unit."""
        return (self.total / self.units).float()


class Perplexity(MeanLoss):
    """exp of the mean loss in nats a token over all batches and ranks: each token counts once."""

    def compute(self) -> Tensor:
        """The perplexity."""
        return (self.total / self.units).exp().float()


class Bits(MeanLoss):
    """The mean loss in bits, nats over ln 2, a token over all batches and ranks: each token counts once."""

    def compute(self) -> Tensor:
        """The bits a token."""
        return (self.total / self.units / math.log(2)).float()


def language_metrics(unit: str = "token") -> MetricCollection:
    """Perplexity and bits a token, for a batch's loss in nats, summed, and its number of tokens.

    Args:
        unit: What a token is, for the name ``bits_per_UNIT``.
    """
    return MetricCollection({"perplexity": Perplexity(), f"bits_per_{unit}": Bits()})
