"""The base class of the metrics of a report."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqkit.metrics.base import SumMetric

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ReportTable(NamedTuple):
    """A table of text cells. The first column holds names, the others numbers.

    Attributes:
        header: The columns' titles.
        sections: Groups of rows, to be separated by a line. Where all are empty, there is nothing to print.
        caption: A text below the table, or "".
    """

    header: Sequence[str]
    sections: Sequence[Sequence[Sequence[str]]]
    caption: str = ""


class ReportMetric(SumMetric):
    """A metric with a table, plain values and maybe a figure.

    torchmetrics synchronises the states when :meth:`compute` is called, and caches the result. So call
    :meth:`compute` on all ranks first; then one rank alone can call :meth:`table`, :meth:`to_python` and
    :meth:`plot`.
    """

    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        self._list_dtypes: dict[str, torch.dtype] = {}

    def add_list_state(self, name: str, dtype: torch.dtype) -> None:
        """Add a state to which :meth:`update` appends tensors (K,) of this type; ranks concatenate them.

        The list begins with an empty tensor. Otherwise torchmetrics would gather an empty float32 tensor from a
        rank without batches, which does not match the other ranks' type.
        """
        self.add_state(name, [], dist_reduce_fx="cat")
        self._list_dtypes[name] = dtype
        self.reset()

    def reset(self) -> None:
        """Set all states to their initial values."""
        super().reset()
        for name, dtype in self._list_dtypes.items():
            getattr(self, name).append(torch.empty(0, dtype=dtype, device=self.device))

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Return the counts or values of all batches and ranks, on the CPU."""

    @abstractmethod
    def table(self) -> ReportTable:
        """Format the table to be printed."""

    @abstractmethod
    def to_python(self) -> dict[str, Any]:
        """Return all results in plain types."""

    def plot(self, title: str = "") -> "tuple[Figure, Any] | None":  # noqa: ARG002
        """Draw the results.

        Args:
            title: The text above the figure.

        Returns:
            The figure and its axes, as for all plots of torchmetrics; None where there is nothing to draw.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return None


def readable(name: str) -> str:
    """Write a label or token so that a table shows it: blanks and line ends as Python literals."""
    return name if name.isprintable() and name.strip() else repr(name)
