"""The order of the rows of a batch, and where their tokens are when packed."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.layout import conjugate, token_positions, token_ranks


class SortedRows:
    """The rows of a batch, sorted by length (longest first, stable), and where their tokens are when packed.

    Args:
        lengths: (B,) tokens of each row.

    Attributes:
        order: (B,) the rows, longest first.
        batch_sizes: (T,) int64, one tensor for all columns.
    """

    def __init__(self, lengths: np.ndarray):
        self.order = np.argsort(-lengths, kind="stable")
        self._sizes = conjugate(lengths)
        self.batch_sizes = torch.from_numpy(self._sizes)

    @cached_property
    def positions(self) -> np.ndarray:
        """(N,) the time step of each packed token."""
        return token_positions(self._sizes)

    @cached_property
    def ranks(self) -> np.ndarray:
        """(N,) the index in ``order`` of each packed token's row."""
        return token_ranks(self._sizes)

    def index(self, starts: np.ndarray, stride: int = 1) -> np.ndarray:
        """Return the index (N,) of each packed token in values whose rows begin at ``starts`` (B,), as given."""
        index: np.ndarray = starts[self.order][self.ranks] + self.positions * stride
        return index

    def pack(self, data: Tensor) -> PackedSequence:
        """Return values (N, ...) in packed order as a PackedSequence without permutation."""
        return PackedSequence(data, self.batch_sizes)

    def pack_with_permutation(self, data: Tensor) -> PackedSequence:
        """Return values (N, ...) in packed order as a PackedSequence whose permutation restores the given order."""
        order = torch.from_numpy(self.order)
        return PackedSequence(data, self.batch_sizes, order, torch.argsort(order))
