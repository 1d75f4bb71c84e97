"""Losses on packed data: nothing is padded, so there is nothing to mask.

Every loss takes an output and a target of one kind, both packed (one unit a token) or both tensors (one unit a
sequence), and is called in two ways: ``loss(output, target)`` is the mean over the units that count, as in torch;
``loss.total(output, target)`` is their sum and their number, for a sum over batches in which every unit weighs
the same.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seqkit.losses.base import Loss, Values, unit_values


class CrossEntropy(Loss):
    """Cross-entropy of logits (N, C) against class ids (N,); see :func:`torch.nn.functional.cross_entropy`.

    Args:
        weight: One weight a class; a unit's loss is multiplied by its class's weight, and counts as one unit.
        label_smoothing: Share of the target that is spread over all classes, in [0, 1].
        ignore_index: A target that does not count.
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
        """Sum the cross-entropy; see :meth:`Loss.total`.

        Raises:
            ValueError: The number of class weights is not the number of classes.
        """
        logits, classes = unit_values(output), unit_values(target)  # (N, C), (N,)
        weight = self.weight
        if weight is not None and len(weight) != logits.shape[-1]:
            raise ValueError(
                f"CrossEntropy has {len(weight)} class weights but the output has {logits.shape[-1]} classes; "
                f"give one weight a class, in the order of the names"
            )
        total = F.cross_entropy(
            logits,
            classes,
            weight=None if weight is None else weight.to(logits.dtype),
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total, (classes != self.ignore_index).sum()


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of logits (N, C) against multi-hot targets (N, C), the mean over the C labels.

    See :func:`torch.nn.functional.binary_cross_entropy_with_logits`.

    Args:
        pos_weight: One weight a label for its positive targets.
    """

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        self.register_buffer(
            "pos_weight", None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        )

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the binary cross-entropy; see :meth:`Loss.total`."""
        logits, truth = unit_values(output), unit_values(target)  # (N, C)
        each = F.binary_cross_entropy_with_logits(
            logits, truth.to(logits.dtype), pos_weight=self.pos_weight, reduction="none"
        )
        return _sum_of_unit_means(each)


class _Distance(Loss):
    """A loss of values (N,) or (N, K) against targets of the same shape, the mean over the K values."""

    @abstractmethod
    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each value, in the shape of ``output``."""

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the distance; see :meth:`Loss.total`.

        Raises:
            ValueError: The shapes differ; broadcasting them would compare every unit with every other.
        """
        values, truth = unit_values(output), unit_values(target)
        if values.shape != truth.shape:
            raise ValueError(
                f"{type(self).__name__}: output {tuple(values.shape)} but target {tuple(truth.shape)}; "
                f"give both the same shape"
            )
        return _sum_of_unit_means(self.each(values, truth.to(values.dtype)))


class MSE(_Distance):
    """Squared error; see :func:`torch.nn.functional.mse_loss`."""

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """The squared error of each value."""
        return F.mse_loss(output, target, reduction="none")


class L1(_Distance):
    """Absolute error; see :func:`torch.nn.functional.l1_loss`."""

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """The absolute error of each value."""
        return F.l1_loss(output, target, reduction="none")


class Huber(_Distance):
    """Squared below ``delta``, linear above; see :func:`torch.nn.functional.huber_loss`.

    Args:
        delta: The error, in units of the target, where the two meet.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """The Huber loss of each value."""
        return F.huber_loss(output, target, reduction="none", delta=self.delta)


class Quantile(Loss):
    """Pinball loss (Koenker and Bassett 1978) of one output a quantile, (N, Q), against values (N,) or (N, 1).

    The mean over the quantiles.

    Args:
        quantiles: The Q quantiles, each in (0, 1).

    Raises:
        ValueError: A quantile lies outside (0, 1).
    """

    quantiles: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> None:
        super().__init__()
        for quantile in quantiles:
            if not 0 < quantile < 1:
                raise ValueError(f"Quantile got {quantile}; a quantile lies between 0 and 1, both excluded")
        self.register_buffer("quantiles", torch.tensor(quantiles, dtype=torch.float32))

    @property
    def output_size(self) -> int:
        """The number of outputs that this loss needs for one target value."""
        return len(self.quantiles)

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the pinball loss; see :meth:`Loss.total`.

        Raises:
            ValueError: The output does not have one column a quantile, or the target is not one value a unit.
        """
        values, truth = unit_values(output), unit_values(target)
        truth = truth.reshape(len(values), -1)
        if values.shape[1:] != self.quantiles.shape or truth.shape[1] != 1:
            raise ValueError(
                f"Quantile: output {tuple(values.shape)} and target {tuple(truth.shape)} for "
                f"{len(self.quantiles)} quantiles; give (N, {len(self.quantiles)}) and (N, 1)"
            )
        error = truth.to(values.dtype) - values  # (N, Q)
        return _sum_of_unit_means(torch.maximum(self.quantiles * error, (self.quantiles - 1) * error))


def _sum_of_unit_means(each: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over units of the mean over a unit's values: (N, ...) -> scalar, N."""
    units = len(each)
    per_unit = each.reshape(units, -1).mean(-1) if units else each
    return per_unit.sum(), torch.tensor(units, device=each.device)
