"""What a loss is: a sum over units that all weigh the same, and their number."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Values = PackedSequence | Tensor


def unit_values(values: Values) -> Tensor:
    """The units of packed or plain values, one a row.

    ``Tensor`` has a ``.data`` of its own, and that one detaches from autograd: the type decides, not the attribute.

    Args:
        values: Packed, data (N, ...), or a tensor (B, ...).

    Returns:
        (N, ...) or (B, ...).
    """
    return values.data if isinstance(values, PackedSequence) else values


class Loss(nn.Module, ABC):
    """A loss whose units (tokens, or sequences) all weigh the same."""

    @abstractmethod
    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the loss over the units that count.

        Args:
            output: Packed, data (N, ...), or a tensor (B, ...).
            target: Of the same kind and order as ``output``.

        Returns:
            The sum, a scalar, and the number of units that count, a scalar without gradient.
        """

    def forward(self, output: Values, target: Values) -> Tensor:
        """Take the mean over the units that count; see :meth:`total`."""
        total, units = self.total(output, target)
        return total / units
