"""Metrics of numeric values."""

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from seqkit.metrics.base import SumMetric
from seqkit.metrics.loss import MeanLoss


class RootMeanSquaredError(MeanLoss):
    """Root of the mean squared error over all values of all batches and ranks."""

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the estimated and true values of a batch, of one shape."""
        errors = _errors(estimate, truth).square()
        super().update(errors.sum(), torch.full((), errors.numel(), device=errors.device))

    def compute(self) -> Tensor:
        """Compute the root of the mean squared error."""
        return self.mean().sqrt()


class MeanAbsoluteError(MeanLoss):
    """Mean absolute error over all values of all batches and ranks."""

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the estimated and true values of a batch, of one shape."""
        errors = _errors(estimate, truth).abs()
        super().update(errors.sum(), torch.full((), errors.numel(), device=errors.device))


def regression_metrics() -> MetricCollection:
    """Build the root mean squared error and the mean absolute error, in units of the target."""
    return MetricCollection({"rmse": RootMeanSquaredError(), "mae": MeanAbsoluteError()}, compute_groups=False)


class PHMScore(SumMetric):
    """Score of the PHM 2008 challenge for remaining useful lives, summed over units and ranks: 0 is perfect.

    With d = estimate - truth, a unit adds ``exp(d / 10) - 1`` if d ≥ 0 and ``exp(-d / 13) - 1`` if d < 0: a late
    warning costs more than an early one (Saxena et al. 2008, "Damage propagation modeling for aircraft engine
    run-to-failure simulation", https://doi.org/10.1109/PHM.2008.4711414). The score grows with the number of units,
    so compare scores of the same units only.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")

    def update(self, estimate: Tensor, truth: Tensor) -> None:
        """Add the estimated and true lives (N,) of a batch, in cycles."""
        late = _errors(estimate, truth)
        self.increase("total", torch.where(late < 0, -late / 13, late / 10).expm1().sum())

    def compute(self) -> Tensor:
        """Compute the score."""
        return self.sum_of("total")


def _errors(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return estimate - truth, at least in float32."""
    if estimate.shape != truth.shape:
        raise ValueError(
            f"estimates {tuple(estimate.shape)} but true values {tuple(truth.shape)}; give both the same shape"
        )
    dtype = torch.promote_types(torch.promote_types(estimate.dtype, truth.dtype), torch.float32)
    return estimate.to(dtype) - truth.to(dtype)
