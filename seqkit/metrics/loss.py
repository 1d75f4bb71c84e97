"""The mean loss and functions of it."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection


class MeanLoss(Metric):
    """Mean loss per unit over all batches and ranks: the sum of the losses divided by the number of units."""

    full_state_update = False
    higher_is_better = False
    total: Tensor
    units: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("units", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, total: Tensor, units: Tensor) -> None:
        """Add the sum of a batch and its number of units."""
        self.total += total.detach().to(self.total.dtype)
        self.units += units

    def compute(self) -> Tensor:
        """Compute the mean loss per unit."""
        return (self.total / self.units).float()


class Perplexity(MeanLoss):
    """Perplexity over all tokens of all batches and ranks: exp of the mean negative log-likelihood."""

    def compute(self) -> Tensor:
        """Compute the perplexity."""
        return (self.total / self.units).exp().float()


class Bits(MeanLoss):
    """Mean negative log-likelihood in bits per token over all tokens of all batches and ranks."""

    def compute(self) -> Tensor:
        """Compute the bits per token."""
        return (self.total / self.units / math.log(2)).float()


def language_metrics(unit: str = "token") -> MetricCollection:
    """Build the metrics of a batch's summed negative log-likelihood (natural logarithm) and number of tokens.

    Args:
        unit: Name of a token, for ``bits_per_UNIT``.
    """
    return MetricCollection({"perplexity": Perplexity(), f"bits_per_{unit}": Bits()})
