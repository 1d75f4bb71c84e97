"""From the characters of words to one vector a word."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.nn.embedding import Embedding
from seqkit.nn.rnn import LSTM
from seqkit.packed import PackedLayout

__all__ = ["CharacterCNN", "CharacterLSTM", "distinct"]


class _Characters(nn.Module, ABC):
    """Gives each word a vector from the ids of its characters; words that are alike are encoded once.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, features of a character.
        output_size: D, features of a word's vector.
        dropout: Probability of dropping one of these, drawn for each occurrence of a word.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, output_size: int, dropout: float) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: dropout is {dropout}, but a probability lies between 0 and 1")
        self.input_size = num_embeddings
        self.output_size = output_size
        self.embedding = Embedding(num_embeddings, embedding_dim)
        self.dropout = dropout

    def forward(self, words: PackedSequence) -> Tensor:
        """Encode a batch's words.

        Args:
            words: Ids of characters, packed word by word: data (M,), a sequence for each of N words.

        Returns:
            (N, D), in the original order of the words: row *i* belongs to row *i* of the sentences' ``.data``.
        """
        unlike, which = distinct(words)
        vectors = self.encode(self.embedding(unlike)).index_select(0, which)
        return F.dropout(vectors, self.dropout, self.training)

    @abstractmethod
    def encode(self, characters: PackedSequence) -> Tensor:
        """Turn the vectors of the characters, data (M, E), of W words into vectors (W, D)."""


class CharacterLSTM(_Characters):
    """The final states of a bidirectional LSTM over a word's characters.

    The word representation of Lample et al. (2016), https://aclanthology.org/N16-1030.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, features of a character.
        hidden_size: H, units of a direction.
        num_layers: Stacked layers; a word's vector is the last one's.
        dropout: Probability of dropping a feature of a word's vector, drawn for each occurrence of a word.

    Attributes:
        input_size: ``num_embeddings``.
        output_size: 2H.

    Raises:
        ValueError: ``dropout`` is no probability.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, 2 * hidden_size, dropout)
        self.lstm = LSTM(embedding_dim, hidden_size, num_layers, bidirectional=True)

    def encode(self, characters: PackedSequence) -> Tensor:
        """Turn the vectors of the characters, data (M, E), of W words into vectors (W, 2H)."""
        _, (final, _) = self.lstm(characters)
        return torch.cat([final[-2], final[-1]], dim=1)


class CharacterCNN(_Characters):
    """The maximum over a word's characters of convolutions of several widths, through a tanh.

    The word representation of Kim et al. (2016), https://arxiv.org/abs/1508.06615, with the same number of filters
    of each width. Zeros stand beside a word, so that there is a value for each character, however short the word:
    ``torch.nn.Conv1d`` with ``padding="same"``.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, features of a character.
        filters: Number of filters of each width.
        widths: The widths, in characters.
        dropout: Probability of dropping a feature of a word's vector, drawn for each occurrence of a word.

    Attributes:
        input_size: ``num_embeddings``.
        output_size: ``filters`` times the number of widths.

    Raises:
        ValueError: ``dropout`` is no probability, or there is no width, or one below 1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        filters: int,
        *,
        widths: Sequence[int] = (3, 4, 5),
        dropout: float = 0.0,
    ) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"CharacterCNN: widths are {list(widths)}; give one or more, each at least 1")
        super().__init__(num_embeddings, embedding_dim, filters * len(widths), dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_dim, filters, width) for width in widths)
        self.widths = list(widths)
        self.left, self.gap = (max(widths) - 1) // 2, max(widths) // 2  # what the widest sees beside a character

    def encode(self, characters: PackedSequence) -> Tensor:
        """Turn the vectors of the characters, data (M, E), of W words into vectors (W, D)."""
        values, layout = characters.data, PackedLayout.of(characters)
        # All words in one line, apart by so many zeros that no filter sees two of them.
        begins = self.gap + (layout.lengths + self.gap).cumsum(0) - layout.lengths - self.gap
        index = layout.gather_index(begins)  # (M,)
        length = layout.num_tokens + self.gap * (layout.num_sequences + 1)
        line = values.new_zeros(length, values.shape[1]).index_copy(0, index, values)  # (length, E)
        # One product for all widths, not torch's convolution, which is set up anew for each length of the line.
        window = torch.arange(-self.left, self.gap + 1, device=values.device)
        around = line.index_select(0, (index[:, None] + window).flatten())
        convolutions = cast(Iterable[nn.Conv1d], self.convolutions)
        weights = [
            F.pad(filters.weight, (self.left - (width - 1) // 2, self.gap - width // 2))
            for width, filters in zip(self.widths, convolutions, strict=True)
        ]
        weight = torch.cat(weights).transpose(1, 2).flatten(1)  # (D, widest · E)
        bias = torch.cat([cast(Tensor, filters.bias) for filters in convolutions])
        found = F.linear(around.view(len(index), weight.shape[1]), weight, bias)
        return packed.max(characters._replace(data=found)).tanh()


def distinct(sequences: PackedSequence) -> tuple[PackedSequence, Tensor]:
    """Find the sequences of ids that are unlike.

    Args:
        sequences: Data (N,) of B sequences.

    Returns:
        The unlike ones, packed longest first without a permutation; and for each sequence (B,), in the original
        order, which of them it is.
    """
    ids, layout = sequences.data, PackedLayout.of(sequences)
    positions, ranks, count = layout.positions, layout.ranks, layout.num_sequences
    keys = ids.new_zeros(count).index_add_(0, ranks, _mixed(ids, positions))
    order = torch.arange(count, device=ids.device)
    first = _first_of_like(keys, order)
    # Equal keys are equal sequences all but surely. Surely, if each has the characters of the first of its like.
    same = (ids[layout.index(positions, first[ranks])] == ids).all() & (
        layout.lengths[first] == layout.lengths
    ).all()
    if not bool(same):
        rows = packed.to_padded(PackedSequence(ids, sequences.batch_sizes), value=-1)
        first = _first_of_like(torch.unique(rows, dim=0, return_inverse=True)[1], order)
    chosen = first == order
    kept = chosen[ranks]
    which = (chosen.cumsum(0) - 1)[first]
    if sequences.unsorted_indices is not None:
        which = which[sequences.unsorted_indices]
    return PackedSequence(ids[kept], positions[kept].bincount().cpu()), which


def _first_of_like(keys: Tensor, order: Tensor) -> Tensor:
    """For each key (B,), the place of the first that equals it."""
    values, group = torch.unique(keys, return_inverse=True)
    return order.new_full(values.shape, len(order)).scatter_reduce_(0, group, order, "amin")[group]


def _mixed(ids: Tensor, positions: Tensor) -> Tensor:
    """Numbers that look random, of each id at each position: whole int64, multiplied as SplitMix64 does."""
    mixed = ids * 0x9E3779B97F4A7C1 + positions * 0x3F58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 30)) * 0x14D049BB133111EB
    return mixed ^ (mixed >> 27)
