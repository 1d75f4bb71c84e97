"""The report of predicted values: bias, errors and explained variance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from seqkit.metrics.report.base import ReportMetric, ReportTable
from seqkit.metrics.report.figures import draw_residuals

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ValueReport(ReportMetric):
    """Report bias, root mean squared and mean absolute error, 90th percentile of absolute errors, and R².

    The percentile and the figure need all values, so the states hold them.

    Args:
        names: What each pair of :meth:`update` holds, such as ``("all", "last steps")``.
    """

    def __init__(self, names: Sequence[str] = ("all",)) -> None:
        super().__init__()
        self.names = list(names)
        for i in range(len(names)):
            self.add_list_state(f"predicted_{i}", torch.float32)
            self.add_list_state(f"true_{i}", torch.float32)

    def update(self, *pairs: tuple[Tensor, Tensor]) -> None:
        """Add a batch: for each name predicted and true values, (P,) each; trailing pairs may be missing."""
        for i, (predicted, true) in enumerate(pairs):
            getattr(self, f"predicted_{i}").append(predicted.float())
            getattr(self, f"true_{i}").append(true.float())

    def compute(self) -> dict[str, Tensor]:
        """Return, for each name with values, predicted and true values: (2, P) float64."""
        pairs = {
            name: torch.stack([dim_zero_cat(getattr(self, f"{side}_{i}")).cpu() for side in ("predicted", "true")])
            for i, name in enumerate(self.names)
        }
        return {name: values.double() for name, values in pairs.items() if values.numel()}

    def table(self) -> ReportTable:
        """Format one row a name."""
        rows = [
            (name, *(f"{of[key]:.4f}" for key in ("bias", "rmse", "mae", "error_90", "r2")), f"{of['count']:,}")
            for name, of in self.to_python()["values"].items()
        ]
        return ReportTable(("", "bias", "RMSE", "MAE", "90 % of errors", "R²", "count"), [rows])

    def to_python(self) -> dict[str, Any]:
        """Return the errors by name."""
        return {"values": {name: _errors(*values.numpy()) for name, values in self.compute().items()}}

    def plot(self, title: str = "") -> "tuple[Figure, Any] | None":
        """Draw the residuals of the last name that has values."""
        found = self.compute()
        if not found:
            return None
        name, values = list(found.items())[-1]
        predicted, true = values.numpy()
        return draw_residuals(predicted, true, f"{title}, {name}" if len(found) > 1 else title)


def _errors(predicted: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> dict[str, float]:
    errors = predicted - true
    spread = ((true - true.mean()) ** 2).sum()
    return {
        "bias": float(errors.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "mae": float(np.abs(errors).mean()),
        "error_90": float(np.quantile(np.abs(errors), 0.9)),
        "r2": float(1 - (errors**2).sum() / spread) if spread else 0.0,
        "count": len(errors),
    }
