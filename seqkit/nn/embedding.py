"""From ids or raw features to the features an encoder reads, token by token."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn.dropout import Dropout

__all__ = ["Embedding", "Projection"]


class Embedding(nn.Module):
    """Look up a learned vector for each id; its ``weight`` is that of a ``torch.nn.Embedding``.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: D, the features of a vector.
        dropout: Probability of dropping a feature of a token's vector.
        word_dropout: Probability with which a token becomes the unknown one, id 0, in training, so that its vector
            learns to stand for any (Iyyer et al. 2015, https://aclanthology.org/P15-1162).

    Attributes:
        input_size: ``num_embeddings``.
        output_size: ``embedding_dim``.
        frozen: (``num_embeddings``,) which vectors get no gradient; None if all do. Not part of the state dict.

    Raises:
        ValueError: ``dropout`` or ``word_dropout`` is no probability.
    """

    frozen: torch.Tensor | None

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, dropout: float = 0.0, word_dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= word_dropout <= 1:
            raise ValueError(f"Embedding: word_dropout is {word_dropout}, but a probability lies between 0 and 1")
        self.input_size = num_embeddings
        self.output_size = embedding_dim
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim))
        self.dropout = Dropout(dropout)
        self.word_dropout = word_dropout
        self.register_buffer("frozen", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors from the standard normal distribution, as ``torch.nn.Embedding`` does."""
        nn.init.normal_(self.weight)

    def freeze(self, ids: torch.Tensor | None) -> None:
        """Let the vectors of some ids get no gradient.

        Args:
            ids: (``num_embeddings``,) booleans; None lets all learn.
        """
        self.frozen = None if ids is None else ids.to(self.weight.device)

    def forward(self, ids: PackedSequence) -> PackedSequence:
        """Turn data (N, ...) of ids into data (N, ..., D)."""
        known = ids.data
        if self.training and self.word_dropout:
            known = known * (torch.rand(known.shape, device=known.device) >= self.word_dropout)
        vectors = F.embedding(known, self.weight)
        if self.frozen is not None:
            # Not requires_grad=False: the others learn, and DDP wants a gradient of each parameter all the time.
            vectors = torch.where(self.frozen[known].unsqueeze(-1), vectors.detach(), vectors)
        dropped: PackedSequence = self.dropout(ids._replace(data=vectors))
        return dropped

    def extra_repr(self) -> str:
        """Show both sizes."""
        return f"{self.input_size}, {self.output_size}"


class Projection(nn.Module):
    """Map each token's features linearly.

    Args:
        input_size: D, the features of a token.
        output_size: The features of a token afterwards.
        dropout: Probability of dropping one of these.

    Raises:
        ValueError: ``dropout`` is no probability.
    """

    def __init__(self, input_size: int, output_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.input_size = input_size
        self.output_size = output_size
        self.linear = nn.Linear(input_size, output_size)
        self.dropout = Dropout(dropout)

    def forward(self, features: PackedSequence) -> PackedSequence:
        """Turn data (N, ..., D) into data (N, ..., output_size)."""
        projected: PackedSequence = self.dropout(features._replace(data=self.linear(features.data)))
        return projected
