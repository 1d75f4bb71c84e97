"""Metrics of numeric values."""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError


def regression_metrics() -> MetricCollection:
    """Build the root mean squared error and the mean absolute error, in units of the target."""
    return MetricCollection({"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()})


class PHMScore(Metric):
    """Score of the PHM 2008 challenge for remaining useful lives, summed over units and ranks: 0 is perfect.

    With d = estimate - truth, a unit adds ``exp(d / 10) - 1`` if d ≥ 0 and ``exp(-d / 13) - 1`` if d < 0: a late
    warning costs more than an early one (Saxena et al. 2008, "Damage propagation modeling for aircraft engine
    run-to-failure simulation", https://doi.org/10.1109/PHM.2008.4711414). The score grows with the number of units,
    so compare scores of the same units only.
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the estimated and true lives (N,) of a batch, in cycles."""
        late = estimate.to(self.total.dtype) - truth.to(self.total.dtype)
        self.total += torch.where(late < 0, -late / 13, late / 10).expm1().sum()

    def compute(self) -> Tensor:
        """Compute the score."""
        return self.total.float()
