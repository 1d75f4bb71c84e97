"""The interface of losses: a sum over units with equal weights, and their number."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Values = PackedSequence | Tensor


def unit_values(values: Values) -> Tensor:
    """Return the values of packed data or of a tensor, one unit per row.

    Checks the type, because ``Tensor`` also has ``.data``, which detaches from autograd.

    Args:
        values: Packed, data (N, ...), or a tensor (B, ...).

    Returns:
        (N, ...) or (B, ...).
    """
    return values.data if isinstance(values, PackedSequence) else values


def with_unit_values(values: Values, new: Tensor) -> Values:
    """Replace the data of packed values and keep their structure, or replace plain values.

    Args:
        values: Packed, data (N, ...), or a tensor (B, ...).
        new: (N, ...) or (B, ...).
    """
    return values._replace(data=new) if isinstance(values, PackedSequence) else new


def full_precision(values: Tensor) -> Tensor:
    """Return values of a half type as float32, and others unchanged.

    A sum of losses in a half type loses small ones, and overflows in float16. Log-probabilities in a half type have
    two or three digits.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def mean_over_units(total: Tensor, units: Tensor) -> Tensor:
    """Divide a sum by the number of its units, which may be a sum of weights; 0 where no unit counts."""
    return total / torch.where(units > 0, units, torch.ones_like(units))


class Loss(nn.Module, ABC):
    """A loss that gives each unit (a token or a sequence) the same weight.

    The output and the target are both packed (one unit per token) or both tensors (one unit per sequence).
    ``loss(output, target)`` is the mean over the units that count, as in torch. ``loss.total(output, target)`` is
    their sum and their number, from which the mean over several batches is computed.
    """

    @abstractmethod
    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the loss over the units that count.

        Args:
            output: Packed, data (N, ...), or a tensor (B, ...).
            target: Of the same type and order as ``output``.

        Returns:
            The sum, a scalar, at least in float32; and the number of units that count, or the sum of their
            weights, a scalar without gradient.
        """

    def forward(self, output: Values, target: Values) -> Tensor:
        """Compute the mean over the units that count; see :meth:`total`."""
        total, units = self.total(output, target)
        return total / units


_COUNTERPARTS = {
    "CrossEntropyLoss": "CrossEntropy",
    "NLLLoss": "CrossEntropy",
    "BCEWithLogitsLoss": "BinaryCrossEntropy",
    "MSELoss": "MSE",
    "L1Loss": "L1",
    "HuberLoss": "Huber",
    "SmoothL1Loss": "Huber",
    "CTCLoss": "CTC",
}


def build_loss(loss: Callable[[], Any]) -> Loss:
    """Build a task's loss.

    Args:
        loss: A subclass of :class:`Loss`, or a partial of one.

    Raises:
        TypeError: It is or gives something else. A loss of torch gives the mean over a batch, and not the number of
            units.
    """
    built = loss()
    if isinstance(built, Loss):
        return built
    name = type(built).__name__
    remedy = f"use seqkit.losses.{_COUNTERPARTS[name]}" if name in _COUNTERPARTS else "subclass seqkit.losses.Loss"
    raise TypeError(
        f"loss gives a {name}, which is no seqkit.losses.Loss: a task needs the sum over the units that count, and "
        f"their number, so that every unit weighs the same; {remedy}"
    )


def check_total(loss: nn.Module, total: Any) -> tuple[Tensor, Tensor]:
    """Return what :meth:`Loss.total` returned, if it is right.

    Raises:
        TypeError: It is not two scalar tensors.
    """
    if isinstance(total, tuple) and len(total) == 2 and all(isinstance(v, Tensor) and not v.dim() for v in total):
        return total
    given = total if isinstance(total, tuple) else (total,)
    kinds = (f"a tensor {tuple(v.shape)}" if isinstance(v, Tensor) else f"a {type(v).__name__}" for v in given)
    raise TypeError(
        f"{type(loss).__name__}.total returned {' and '.join(kinds)}; return two scalar tensors: the loss summed "
        f"over the units that count, and their number"
    )
