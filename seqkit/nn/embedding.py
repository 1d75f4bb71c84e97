"""Input layers: from ids or raw features of tokens to the features that an encoder reads."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn.dropout import Dropout, check_probability

__all__ = ["Embedding", "Projection"]


class Embedding(nn.Module):
    """Look up a learned vector for each id; ``weight`` is like that of ``torch.nn.Embedding``.

    Of a set of ids, given as a multi-hot vector, it is the sum of their vectors, as of ``torch.nn.EmbeddingBag``.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: D, number of features of a vector.
        dropout: Dropout probability of the features of a token.
        word_dropout: Probability of replacing a token by the unknown one in training, so that the vector of unknown
            words is trained, too (Iyyer et al. 2015, https://aclanthology.org/P15-1162).
        unknown_id: Id of the unknown token. By default a task takes that of the input's encoder.

    Attributes:
        input_size: ``num_embeddings``.
        output_size: ``embedding_dim``.
        frozen: (``num_embeddings``,), True for vectors without gradient, or None; not in the state dict.

    Raises:
        ValueError: ``embedding_dim`` is below 1, ``dropout`` or ``word_dropout`` is not a probability, or
            ``unknown_id`` is not one of the ids.
    """

    frozen: torch.Tensor | None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown_id: int | None = None,
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ValueError(f"Embedding: embedding_dim is {embedding_dim}; give at least 1")
        if unknown_id is not None and not 0 <= unknown_id < num_embeddings:
            raise ValueError(f"Embedding: unknown_id is {unknown_id}; give an id in [0, {num_embeddings})")
        check_probability("Embedding: word_dropout", word_dropout)
        self.input_size = num_embeddings
        self.output_size = embedding_dim
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim))
        self.dropout = Dropout(dropout)
        self.word_dropout = word_dropout
        self.unknown_id = unknown_id
        self.register_buffer("frozen", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors from the standard normal distribution, like ``torch.nn.Embedding``."""
        nn.init.normal_(self.weight)

    def freeze(self, ids: torch.Tensor | None) -> None:
        """Exclude the vectors of some ids from training.

        Args:
            ids: (``num_embeddings``,) booleans; None trains all vectors.
        """
        self.frozen = None if ids is None else ids.to(self.weight.device)

    def forward(self, ids: PackedSequence) -> PackedSequence:
        """Map ids, data (N, ...), to vectors, data (N, ..., D); likewise multi-hot floats (N, ..., ids).

        Raises:
            ValueError: There is word dropout, but no unknown id, or the ids are multi-hot.
        """
        values = ids.data
        if values.is_floating_point():
            return self._sum_vectors(ids)
        if self.training and self.word_dropout:
            if self.unknown_id is None:
                raise ValueError(
                    f"Embedding: word_dropout={self.word_dropout} needs the id that replaces tokens; "
                    f"give unknown_id"
                )
            # Not in the default type: a half type has too few different numbers.
            drawn = torch.rand(values.shape, device=values.device, dtype=torch.float32)
            values = values.masked_fill(drawn < self.word_dropout, self.unknown_id)
        vectors = F.embedding(values, self.weight)
        if self.frozen is not None:
            # requires_grad=False would exclude all vectors, and DDP needs a gradient of every parameter.
            vectors = torch.where(self.frozen[values].unsqueeze(-1), vectors.detach(), vectors)
        dropped: PackedSequence = self.dropout(ids._replace(data=vectors))
        return dropped

    def _sum_vectors(self, multi_hot: PackedSequence) -> PackedSequence:
        if self.word_dropout:
            raise ValueError(f"Embedding: word_dropout={self.word_dropout} of sets of ids; set it to 0")
        weight: torch.Tensor = self.weight
        if self.frozen is not None:
            weight = torch.where(self.frozen[:, None], weight.detach(), weight)
        dropped: PackedSequence = self.dropout(multi_hot._replace(data=multi_hot.data @ weight))
        return dropped

    def extra_repr(self) -> str:
        """Show both sizes."""
        return f"{self.input_size}, {self.output_size}"


class Projection(nn.Module):
    """Map each token's features linearly.

    Args:
        input_size: D, number of input features of a token.
        output_size: Number of output features of a token.
        dropout: Dropout probability of the output features.

    Raises:
        ValueError: ``output_size`` is below 1, or ``dropout`` is not a probability.
    """

    def __init__(self, input_size: int, output_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if output_size < 1:
            raise ValueError(f"Projection: output_size is {output_size}; give at least 1")
        self.input_size = input_size
        self.output_size = output_size
        self.linear = nn.Linear(input_size, output_size)
        self.dropout = Dropout(dropout)

    def forward(self, features: PackedSequence) -> PackedSequence:
        """Map data (N, ..., D) to data (N, ..., output_size)."""
        projected: PackedSequence = self.dropout(features._replace(data=self.linear(features.data)))
        return projected
