"""Metrics of values."""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError


def regression_metrics() -> MetricCollection:
    """Root of the mean squared error and mean absolute error, in units of the target."""
    return MetricCollection({"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()})


class PHMScore(Metric):
    """The score of the PHM 2008 challenge for remaining lives, summed over units and ranks: 0 is perfect.

    Of a unit whose life was estimated d too long, ``exp(d / 10) - 1``; of one with -d too short,
    ``exp(-d / 13) - 1``: a late warning costs more than an early one (Saxena et al. 2008, "Damage propagation
    modeling for aircraft engine run-to-failure simulation", https://doi.org/10.1109/PHM.2008.4711414). It grows
    with the number of units, so that only scores of the same units compare.
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the units of a batch: their lives, estimated and true, (N,), in cycles."""
        late = estimate.to(self.total.dtype) - truth.to(self.total.dtype)
        self.total += torch.where(late < 0, -late / 13, late / 10).expm1().sum()

    def compute(self) -> Tensor:
        """The score."""
        return self.total.float()
