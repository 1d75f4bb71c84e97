"""Dropout on packed data, drawn for every token or once for every sequence."""

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
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, but a probability lies between 0 and 1")
        self.p = p

    @abstractmethod
    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation give ``values`` itself."""

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """Drop each feature of each token with probability ``p``, as ``torch.nn.Dropout`` does.

    Args:
        p: Probability of dropping; what is kept is divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is no probability.
    """

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation give ``values`` itself."""
        if not self.training or self.p == 0:
            return values
        return values._replace(data=F.dropout(values.data, self.p))


class LockedDropout(_Dropout):
    """Drop each feature of each sequence with probability ``p``, the same at all its tokens.

    The variational dropout of Gal and Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        p: Probability of dropping; what is kept is divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is no probability.
    """

    def forward(self, values: PackedSequence) -> PackedSequence:
        """Drop features of data (N, ...); in evaluation give ``values`` itself."""
        if not self.training or self.p == 0:
            return values
        mask = F.dropout(torch.ones_like(packed.first(values)), self.p)  # (B, ...)
        return values._replace(data=values.data * mask.index_select(0, packed.sequences(values)))


class EmbeddingDropout(nn.Module):
    """Drop all of some ids' vectors, each id with probability ``p``, the same in the whole batch.

    The embedding dropout of Gal and Ghahramani (2016), https://arxiv.org/abs/1512.05287, and of AWD-LSTM.

    Args:
        num_embeddings: Number of ids.
        p: Probability of dropping; what is kept is divided by ``1 - p``.

    Raises:
        ValueError: ``p`` is no probability.
    """

    def __init__(self, num_embeddings: int, p: float = 0.1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"EmbeddingDropout: p is {p}, but a probability lies between 0 and 1")
        self.num_embeddings = num_embeddings
        self.p = p

    def forward(self, vectors: PackedSequence, ids: PackedSequence) -> PackedSequence:
        """Drop vectors, data (N, D), of ids, data (N,); in evaluation give ``vectors`` itself."""
        if not self.training or self.p == 0:
            return vectors
        mask = F.dropout(vectors.data.new_ones(self.num_embeddings), self.p)
        return vectors._replace(data=vectors.data * mask[ids.data].unsqueeze(-1))

    def extra_repr(self) -> str:
        """Show the number of ids and the probability."""
        return f"{self.num_embeddings}, p={self.p}"
