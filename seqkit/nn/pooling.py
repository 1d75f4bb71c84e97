"""Pooling of an encoder's packed output to one vector per sequence."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = ["AttentionPool", "LastPool", "MaxPool", "MeanPool", "Pool"]

State = Tensor | tuple[Tensor, Tensor] | None


class Pool(nn.Module, ABC):
    """Compute one vector (D,) per sequence from the encoder's output and its final state.

    Args:
        input_size: D, number of features of the encoder's output.

    Attributes:
        output_size: D, number of features of a sequence's vector.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.output_size = input_size

    @abstractmethod
    def forward(self, values: PackedSequence, state: State = None) -> Tensor:
        """Pool each sequence.

        Args:
            values: The encoder's output, data (N, D).
            state: The final state that the encoder returns: h_n (layers × directions, B, H), or (h_n, c_n).

        Returns:
            (B, D), in the original order of the sequences.
        """


class LastPool(Pool):
    """Take the final state of the last layer: at the last token forward, at the first token backward.

    Args:
        input_size: D = H × directions.
    """

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``.

        Raises:
            ValueError: There is no state, or D is not a multiple of its features.
        """
        final = state[0] if isinstance(state, tuple) else state
        if final is None:
            raise ValueError(
                "LastPool: the encoder returned no final state; use MeanPool, MaxPool or AttentionPool"
            )
        directions, rest = divmod(self.input_size, final.shape[-1])
        if rest or not directions:
            raise ValueError(
                f"LastPool: input_size is {self.input_size}, which is not a multiple of the {final.shape[-1]} "
                "features of the final state; use MeanPool, MaxPool or AttentionPool"
            )
        return final[-directions:].transpose(0, 1).flatten(1)  # (directions, B, H) -> (B, D)


class MeanPool(Pool):
    """Take each feature's mean over the tokens."""

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.mean(values)


class MaxPool(Pool):
    """Take each feature's maximum over the tokens."""

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.max(values)


class AttentionPool(Pool):
    """Take the weighted mean over the tokens; the weights are the softmax of u · tanh(W h + b).

    The word attention of Yang et al. (2016), https://aclanthology.org/N16-1174.

    Args:
        input_size: D, number of features of the encoder's output.
        hidden_size: Length of u; by default D.

    Raises:
        ValueError: ``hidden_size`` is below 1.
    """

    def __init__(self, input_size: int, *, hidden_size: int | None = None) -> None:
        super().__init__(input_size)
        size = input_size if hidden_size is None else hidden_size
        if size < 1:
            raise ValueError(f"AttentionPool: hidden_size is {size}; give at least 1")
        self.hidden = nn.Linear(input_size, size)
        self.score = nn.Linear(size, 1, bias=False)  # softmax would cancel a bias

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.attend(values, self._scores(values))

    def weights(self, values: PackedSequence) -> PackedSequence:
        """Compute the weight of each token in its sequence's vector.

        Args:
            values: The encoder's output, data (N, D).

        Returns:
            Data (N,), with the sum 1 over each sequence.
        """
        weights = packed.softmax(self._scores(values))
        return weights._replace(data=weights.data.squeeze(-1))

    def _scores(self, values: PackedSequence) -> PackedSequence:
        return values._replace(data=self.score(self.hidden(values.data).tanh()))  # (N, 1)
