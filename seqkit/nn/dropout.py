"""Dropout on packed data, with masks per token, per sequence or per id."""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = ["Dropout", "EmbeddingDropout", "LockedDropout"]


class _Dropout(nn.Module, ABC):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_probability(f"{type(self).__name__}: p", p)
        self.p = p

    @abstractmethod
    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation return ``values`` itself."""

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """Drop each feature of each token with probability ``p``, like ``torch.nn.Dropout``.

    Args:
        p: Dropout probability; the remaining values are divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is not a probability.
    """

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation return ``values`` itself."""
        if not self.training or self.p == 0:
            return values
        return values._replace(data=F.dropout(values.data, self.p))


class LockedDropout(_Dropout):
    """Drop features of a sequence with probability ``p``, the same ones at all of its tokens.

    The variational dropout of Gal and Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        p: Dropout probability; the remaining values are divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is not a probability.
    """

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation return ``values`` itself."""
        if not self.training or self.p == 0:
            return values
        mask = F.dropout(torch.ones_like(packed.first(values)), self.p)  # (B, ...)
        return values._replace(data=values.data * mask.index_select(0, packed.sequences(values)))


class EmbeddingDropout(nn.Module):
    """Drop the whole vectors of some ids with probability ``p``, the same ids in the whole batch.

    The embedding dropout of Gal and Ghahramani (2016), https://arxiv.org/abs/1512.05287, and of AWD-LSTM.

    Args:
        num_embeddings: Number of ids.
        p: Dropout probability; the remaining values are divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is not a probability.
    """

    def __init__(self, num_embeddings: int, p: float = 0.1) -> None:
        super().__init__()
        check_probability("EmbeddingDropout: p", p)
        self.num_embeddings = num_embeddings
        self.p = p

    def forward(self, vectors: PackedSequence, ids: PackedSequence) -> PackedSequence:
        """Drop vectors, data (N, D), of ids, data (N,); in evaluation return ``vectors`` itself."""
        if not self.training or self.p == 0:
            return vectors
        mask = F.dropout(vectors.data.new_ones(self.num_embeddings), self.p)
        return vectors._replace(data=vectors.data * mask[ids.data].unsqueeze(-1))

    def extra_repr(self) -> str:
        """Show the number of ids and the probability."""
        return f"{self.num_embeddings}, p={self.p}"


def check_probability(name: str, p: float) -> None:
    """Raise a `ValueError` that names the argument if p is not in [0, 1]."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name} is {p}; give a probability in [0, 1]")
