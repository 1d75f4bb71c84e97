"""From an encoder's packed output to one vector a sequence."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = ["AttentionPool", "LastPool", "MaxPool", "MeanPool", "Pool"]

State = Tensor | tuple[Tensor, Tensor] | None


class Pool(nn.Module, ABC):
    """Gives each sequence one vector (D,) from the encoder's output and its final state.

    Args:
        input_size: D, the features of the encoder's output.

    Attributes:
        output_size: The features of a sequence's vector, D.
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
            state: What the encoder returns beside it: h_n (layers × directions, B, H), or (h_n, c_n).

        Returns:
            (B, D), in the original order of the sequences.
        """


class LastPool(Pool):
    """Take the last layer's final state: at the last token forward, at the first one backward.

    Args:
        input_size: D = H × directions.
    """

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``.

        Raises:
            ValueError: There is no state, or its features do not make up D.
        """
        final = state[0] if isinstance(state, tuple) else state
        if final is None:
            raise ValueError(
                "LastPool: the encoder returned no final state; use MeanPool, MaxPool or AttentionPool"
            )
        directions, rest = divmod(self.input_size, final.shape[-1])
        if rest or not directions:
            raise ValueError(
                f"LastPool: input_size is {self.input_size} but the final state has {final.shape[-1]} features, "
                "and is to be a whole number of directions of them; use MeanPool, MaxPool or AttentionPool"
            )
        return final[-directions:].transpose(0, 1).flatten(1)  # (directions, B, H) -> (B, D)


class MeanPool(Pool):
    """Average over the tokens."""

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.mean(values)


class MaxPool(Pool):
    """Take each feature's maximum over the tokens."""

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.max(values)


class AttentionPool(Pool):
    """Average over the tokens with learned weights: softmax over the sequence of u · tanh(W h + b).

    The word attention of Yang et al. (2016), https://aclanthology.org/N16-1174.

    Args:
        input_size: D, the features of the encoder's output.
        hidden_size: The length of u; by default D.
    """

    def __init__(self, input_size: int, *, hidden_size: int | None = None) -> None:
        super().__init__(input_size)
        self.hidden = nn.Linear(input_size, hidden_size or input_size)
        self.score = nn.Linear(hidden_size or input_size, 1, bias=False)  # softmax would cancel a bias

    def forward(self, values: PackedSequence, state: State = None) -> Tensor:  # noqa: ARG002
        """Pool each sequence; see ``Pool.forward``."""
        return packed.attend(values, self._scores(values))

    def weights(self, values: PackedSequence) -> PackedSequence:
        """The weight of each token in its sequence's vector.

        Args:
            values: The encoder's output, data (N, D).

        Returns:
            Data (N,), which sums to 1 over each sequence.
        """
        weights = packed.softmax(self._scores(values))
        return weights._replace(data=weights.data.squeeze(-1))

    def _scores(self, values: PackedSequence) -> PackedSequence:
        return values._replace(data=self.score(self.hidden(values.data).tanh()))  # (N, 1)
