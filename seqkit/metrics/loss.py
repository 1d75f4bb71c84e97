"""The mean loss and functions of it."""

import math

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from seqkit.metrics.base import SumMetric


class MeanLoss(SumMetric):
    """Mean loss per unit over all batches and ranks: the sum of the losses divided by the number of units.

    The number may also be a sum of weights.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total_and_units", 2)

    def update(self, total: Tensor, units: Tensor) -> None:
        """Add the sum of a batch and its number of units."""
        self.increase("total_and_units", torch.stack([total.detach().float(), units.float()]))

    def mean(self) -> Tensor:
        """Return the mean per unit, float32."""
        sums = self.sum_of("total_and_units")
        return sums[0] / sums[1]

    def compute(self) -> Tensor:
        """Compute the mean loss per unit."""
        return self.mean()


class Perplexity(MeanLoss):
    """Perplexity over all tokens of all batches and ranks: exp of the mean negative log-likelihood."""

    def compute(self) -> Tensor:
        """Compute the perplexity."""
        return self.mean().exp()


class Bits(MeanLoss):
    """Mean negative log-likelihood in bits per token over all tokens of all batches and ranks."""

    def compute(self) -> Tensor:
        """Compute the bits per token."""
        return self.mean() / math.log(2)


def language_metrics(unit: str = "token") -> MetricCollection:
    """Build the metrics of a batch's summed negative log-likelihood (natural logarithm) and number of tokens.

    Args:
        unit: Name of a token, for ``bits_per_UNIT``.
    """
    return MetricCollection({"perplexity": Perplexity(), f"bits_per_{unit}": Bits()})
