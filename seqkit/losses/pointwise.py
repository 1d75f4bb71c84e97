"""Losses that compare each unit of the output with its target."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seqkit.losses.base import Loss, Values, full_precision, unit_values
from seqkit.upstream.torch import KeepDtype


class CrossEntropy(KeepDtype, Loss):
    """Cross-entropy of logits (N, C) against class ids (N,); see :func:`torch.nn.functional.cross_entropy`.

    With class weights the mean is torch's: the weighted sum divided by the sum of the weights of the targets. The
    gradient of a fit is divided by the plan's constant number of units instead, so weights that average 1 over the
    training data keep its scale.

    Args:
        weight: One weight per class, which multiplies the loss of its units.
        label_smoothing: Share of the target that is distributed over all classes, in [0, 1].
        ignore_index: Target that does not count.
    """

    weight: Tensor | None

    def __init__(
        self, weight: Sequence[float] | None = None, label_smoothing: float = 0.0, ignore_index: int = -100
    ) -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else torch.tensor(weight, dtype=torch.float32))
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the cross-entropy, and the weights of the targets that count; see :meth:`Loss.total`.

        Raises:
            ValueError: The number of class weights differs from the number of classes.
        """
        logits, classes = full_precision(unit_values(output)), unit_values(target)  # (N, C), (N,)
        weight = self.weight
        if weight is not None and len(weight) != logits.shape[-1]:
            raise ValueError(
                f"CrossEntropy has {len(weight)} class weights but the output has {logits.shape[-1]} classes; "
                f"give one weight per class, in the order of the names"
            )
        total = F.cross_entropy(
            logits,
            classes,
            weight=None if weight is None else weight.to(logits.dtype),
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        counts = classes != self.ignore_index
        if weight is None:
            return total, counts.sum()
        return total, (weight.to(logits.dtype)[classes.where(counts, 0)] * counts).sum()


class BinaryCrossEntropy(KeepDtype, Loss):
    """Binary cross-entropy of logits (N, C) against multi-hot targets (N, C), averaged over the C labels.

    See :func:`torch.nn.functional.binary_cross_entropy_with_logits`.

    Args:
        pos_weight: One weight per label for its positive targets.
    """

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        self.register_buffer(
            "pos_weight", None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        )

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the binary cross-entropy; see :meth:`Loss.total`."""
        logits, truth = full_precision(unit_values(output)), unit_values(target)  # (N, C)
        values = F.binary_cross_entropy_with_logits(
            logits, truth.to(logits.dtype), pos_weight=self.pos_weight, reduction="none"
        )
        return _sum_of_unit_means(values)


class _Distance(Loss):
    """A loss of values (N,) or (N, K) against targets of the same shape, averaged over the K values."""

    @abstractmethod
    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each value, in the shape of ``output``."""

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the distance; see :meth:`Loss.total`.

        Raises:
            ValueError: The shapes differ; broadcasting them would compare every unit with every other.
        """
        values, truth = full_precision(unit_values(output)), unit_values(target)
        if values.shape != truth.shape:
            raise ValueError(
                f"{type(self).__name__}: output {tuple(values.shape)} but target {tuple(truth.shape)}; "
                f"give both the same shape"
            )
        return _sum_of_unit_means(self.each(values, truth.to(values.dtype)))


class MSE(_Distance):
    """Squared error; see :func:`torch.nn.functional.mse_loss`."""

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Compute the squared error of each value."""
        return F.mse_loss(output, target, reduction="none")


class L1(_Distance):
    """Absolute error; see :func:`torch.nn.functional.l1_loss`."""

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Compute the absolute error of each value."""
        return F.l1_loss(output, target, reduction="none")


class Huber(_Distance):
    """Error that is squared below ``delta`` and linear above; see :func:`torch.nn.functional.huber_loss`.

    Args:
        delta: The error, in units of the target, at which the loss becomes linear.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Compute the Huber loss of each value."""
        return F.huber_loss(output, target, reduction="none", delta=self.delta)


class Quantile(KeepDtype, Loss):
    """Pinball loss (Koenker and Bassett 1978) of Q outputs (N, Q) against values (N,) or (N, 1).

    The mean over the quantiles.

    Args:
        quantiles: The Q quantiles, each in (0, 1).

    Raises:
        ValueError: A quantile is outside (0, 1).
    """

    quantiles: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> None:
        super().__init__()
        for quantile in quantiles:
            if not 0 < quantile < 1:
                raise ValueError(f"Quantile: a quantile is {quantile}; give values between 0 and 1, both excluded")
        self.register_buffer("quantiles", torch.tensor(quantiles, dtype=torch.float32))

    @property
    def output_size(self) -> int:
        """Number of outputs that the loss needs for one target value."""
        return len(self.quantiles)

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the pinball loss; see :meth:`Loss.total`.

        Raises:
            ValueError: The output does not have one column per quantile, or the target not one value per unit.
        """
        values, truth = full_precision(unit_values(output)), unit_values(target)
        truth = truth.reshape(len(values), -1)
        if values.shape[1:] != self.quantiles.shape or truth.shape[1] != 1:
            raise ValueError(
                f"Quantile: output {tuple(values.shape)} and target {tuple(truth.shape)} for "
                f"{len(self.quantiles)} quantiles; give (N, {len(self.quantiles)}) and (N, 1)"
            )
        error = truth.to(values.dtype) - values  # (N, Q)
        return _sum_of_unit_means(torch.maximum(self.quantiles * error, (self.quantiles - 1) * error))


def _sum_of_unit_means(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sum, over the units of (N, ...), the means of their values; also return N."""
    units = len(values)
    means = values.reshape(units, -1).mean(-1) if units else values
    return means.sum(), torch.full((), units, device=values.device)
