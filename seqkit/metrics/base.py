"""The base classes of metrics: states keep their type, and sums stay exact over any number of batches."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqkit.upstream.torch import KeepDtype


class MetricGroup(KeepDtype, nn.ModuleDict):
    """Metrics by name, of any library, whose states keep their type when a model is cast to another precision."""


class ClassCounts(ABC):
    """A metric of each class, or type, that also knows how many true units each has."""

    @abstractmethod
    def class_counts(self) -> dict[str, int]:
        """Return the numbers of the last computation, by the name of the class's value; none before it."""


class SumMetric(KeepDtype, Metric):
    """A metric with sums of floating-point numbers; see :meth:`add_sum`. No cast changes the type of its states."""

    full_state_update = False

    def add_sum(self, name: str, *shape: int) -> None:
        """Add a state of sums that begin at 0; ranks add them up."""
        # A float32 for the sum and one for its rounding errors (Neumaier 1974). Together they have about the
        # precision of a float64, which MPS lacks. A single number would lose small batches in a large sum.
        self.add_state(name, torch.zeros(2, *shape, dtype=torch.float32), dist_reduce_fx=_add_sums)

    def increase(self, name: str, values: Tensor) -> None:
        """Add values, in the shape of the sums."""
        setattr(self, name, _add(getattr(self, name), values.detach().float()))

    def sum_of(self, name: str) -> Tensor:
        """Return the sums, float32."""
        total, error = getattr(self, name)
        return torch.where(total.isfinite(), total + error, total)


def _add(sums: Tensor, values: Tensor) -> Tensor:
    total, error = sums
    new = total + values
    added = new - total
    return torch.stack([new, error + ((total - (new - added)) + (values - added))])


def _add_sums(sums: Tensor) -> Tensor:
    """Add up the sums of several ranks: (R, 2, ...) to (2, ...)."""
    result = sums[0]
    for total, error in sums[1:]:
        result = _add(_add(result, total), error)
    return result
