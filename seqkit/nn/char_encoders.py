"""Encoders of the characters of words: one vector per word."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.nn.dropout import check_probability
from seqkit.nn.embedding import Embedding
from seqkit.nn.rnn import LSTM
from seqkit.packed import PackedLayout

__all__ = ["CharacterCNN", "CharacterLSTM", "unique_sequences"]


class _Characters(nn.Module, ABC):
    """Encode each word from the ids of its characters; on a CPU, equal words are encoded once.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, number of features of a character.
        output_size: D, number of features of a word.
        dropout: Dropout probability of the features of a word, drawn for each occurrence of it.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, output_size: int, dropout: float) -> None:
        super().__init__()
        check_probability(f"{type(self).__name__}: dropout", dropout)
        self.input_size = num_embeddings
        self.output_size = output_size
        self.embedding = Embedding(num_embeddings, embedding_dim)
        self.dropout = dropout

    def forward(self, words: PackedSequence) -> Tensor:
        """Encode a batch's words.

        Args:
            words: Ids of characters, data (M,), one sequence for each of N words.

        Returns:
            (N, D), in the original order of the words: row *i* belongs to row *i* of the sentences' ``.data``.
        """
        if words.data.device.type == "cpu":
            unique, index = unique_sequences(words)
            vectors = self.encode(self.embedding(unique)).index_select(0, index)
        else:  # the host would wait for the number of different words
            vectors = self.encode(self.embedding(words))
        return F.dropout(vectors, self.dropout, self.training)

    @abstractmethod
    def encode(self, characters: PackedSequence) -> Tensor:
        """Encode W words from the vectors of their characters, data (M, E), as vectors (W, D)."""


class CharacterLSTM(_Characters):
    """Encode words by the final states of a bidirectional LSTM over the characters.

    The word representation of Lample et al. (2016), https://aclanthology.org/N16-1030.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, number of features of a character.
        hidden_size: H, number of hidden units of a direction.
        num_layers: Number of stacked layers, the last of which gives a word's vector.
        dropout: Dropout probability of the features of a word, drawn for each occurrence of it.

    Attributes:
        input_size: ``num_embeddings``.
        output_size: 2H.

    Raises:
        ValueError: ``dropout`` is not a probability.
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
        """Encode W words from the vectors of their characters, data (M, E), as vectors (W, 2H)."""
        _, (final, _) = self.lstm(characters)
        return torch.cat([final[-2], final[-1]], dim=1)


class CharacterCNN(_Characters):
    """Encode words by convolutions of several widths, the maximum over the characters, and a tanh.

    The word representation of Kim et al. (2016), https://arxiv.org/abs/1508.06615, with the same number of filters
    of each width. Words are padded with zeros as in ``torch.nn.Conv1d`` with ``padding="same"``, so that words
    shorter than the filters have values, too.

    Args:
        num_embeddings: Number of ids.
        embedding_dim: E, number of features of a character.
        filters: Number of filters of each width.
        widths: The widths, in characters.
        dropout: Dropout probability of the features of a word, drawn for each occurrence of it.

    Attributes:
        input_size: ``num_embeddings``.
        output_size: ``filters`` times the number of widths.

    Raises:
        ValueError: ``dropout`` is not a probability, ``filters`` is below 1, or ``widths`` is empty or has a width
            below 1.
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
        if filters < 1:
            raise ValueError(f"CharacterCNN: filters is {filters}; give at least 1")
        super().__init__(num_embeddings, embedding_dim, filters * len(widths), dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_dim, filters, width) for width in widths)
        self.widths = list(widths)
        self.left, self.gap = (max(widths) - 1) // 2, max(widths) // 2  # reach of the widest filter

    def encode(self, characters: PackedSequence) -> Tensor:
        """Encode W words from the vectors of their characters, data (M, E), as vectors (W, D)."""
        values, layout = characters.data, PackedLayout.of(characters)
        # Concatenate all words, separated by so many zeros that no filter reads two of them.
        starts = self.gap + (layout.lengths + self.gap).cumsum(0) - layout.lengths - self.gap
        index = layout.gather_index(starts)  # (M,)
        length = layout.num_tokens + self.gap * (layout.num_sequences + 1)
        line = values.new_zeros(length, values.shape[1]).index_copy(0, index, values)  # (length, E)
        # One product for all widths: torch's convolution has a set-up cost for each new length.
        window = torch.arange(-self.left, self.gap + 1, device=values.device)
        around = line.index_select(0, (index[:, None] + window).flatten())
        convolutions = cast(Iterable[nn.Conv1d], self.convolutions)
        weights = [
            F.pad(filters.weight, (self.left - (width - 1) // 2, self.gap - width // 2))
            for width, filters in zip(self.widths, convolutions, strict=True)
        ]
        weight = torch.cat(weights).transpose(1, 2).flatten(1)  # (D, widest · E)
        bias = torch.cat([cast(Tensor, filters.bias) for filters in convolutions])
        features = F.linear(around.view(len(index), weight.shape[1]), weight, bias)
        return packed.max(characters._replace(data=features)).tanh()


def unique_sequences(sequences: PackedSequence) -> tuple[PackedSequence, Tensor]:
    """Find the unique sequences of ids.

    Args:
        sequences: Data (N,) of B sequences.

    Returns:
        The unique sequences, packed longest first without a permutation; and the index (B,) among these of each
        sequence in the original order, like the inverse of `torch.unique`.
    """
    ids, layout = sequences.data, PackedLayout.of(sequences)
    positions, ranks, count = layout.positions, layout.ranks, layout.num_sequences
    keys = ids.new_zeros(count).index_add_(0, ranks, _hashed(ids, positions))
    order = torch.arange(count, device=ids.device)
    first = _first_equal(keys, order)
    # Different sequences hardly ever have equal keys. Compare each with the first of its key to be certain.
    same = (ids[layout.index(positions, first[ranks])] == ids).all() & (
        layout.lengths[first] == layout.lengths
    ).all()
    if not bool(same):
        rows = packed.to_padded(PackedSequence(ids, sequences.batch_sizes), value=-1)
        first = _first_equal(torch.unique(rows, dim=0, return_inverse=True)[1], order)
    is_first = first == order
    kept = is_first[ranks]
    index = (is_first.cumsum(0) - 1)[first]
    if sequences.unsorted_indices is not None:
        index = index[sequences.unsorted_indices]
    return PackedSequence(ids[kept], positions[kept].bincount().cpu()), index


def _first_equal(keys: Tensor, order: Tensor) -> Tensor:
    """Find, for each key (B,), the index of the first equal key."""
    values, group = torch.unique(keys, return_inverse=True)
    return order.new_full(values.shape, len(order)).scatter_reduce_(0, group, order, "amin")[group]


def _hashed(ids: Tensor, positions: Tensor) -> Tensor:
    """Hash each id with its position to an int64, with the multiplications of SplitMix64."""
    mixed = ids * 0x9E3779B97F4A7C1 + positions * 0x3F58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 30)) * 0x14D049BB133111EB
    return mixed ^ (mixed >> 27)
