"""Dropout on packed data, drawn for every token or once for every sequence."""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = ["Dropout", "LockedDropout"]


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
