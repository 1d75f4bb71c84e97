"""The structure of a PackedSequence, and changes of it token by token."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.layout import PackedLayout


def lengths(packed: PackedSequence) -> Tensor:
    """Count the tokens of each sequence: (B,) int64 on the CPU, in the original order."""
    counts = PackedLayout.of(packed, torch.device("cpu")).lengths
    return counts if packed.unsorted_indices is None else counts[packed.unsorted_indices.cpu()]


def positions(packed: PackedSequence) -> Tensor:
    """Return the time step of each token in its sequence, from 0: (N,) int64 on the data's device."""
    return PackedLayout.of(packed).positions


def sequences(packed: PackedSequence) -> Tensor:
    """Return the sequence of each token, numbered in the original order: (N,) int64 on the data's device."""
    ranks = PackedLayout.of(packed).ranks
    return ranks if packed.sorted_indices is None else packed.sorted_indices[ranks]


def apply(packed: PackedSequence, function: Callable[[Tensor], Tensor]) -> PackedSequence:
    """Apply a function of tokens to the data (N, ...), which returns (N, ...), and keep the structure.

    Raises:
        ValueError: The function returned another number of tokens.
    """
    data = function(packed.data)
    if data.shape[:1] != packed.data.shape[:1]:
        raise ValueError(
            f"apply: {len(packed.data)} tokens became a tensor of shape {tuple(data.shape)}; "
            "the function must keep the first dimension"
        )
    return packed._replace(data=data)


def cat(packs: Sequence[PackedSequence]) -> PackedSequence:
    """Concatenate the features of packs with the same structure: data (N, ..., D_1 + D_2 + ...).

    Raises:
        ValueError: The packs differ in structure, or have no feature dimension.
    """
    check_aligned("cat", packs)
    if packs[0].data.dim() < 2:
        raise ValueError("cat: data of shape (N,) has no feature dimension; make it (N, 1)")
    return packs[0]._replace(data=torch.cat([packed.data for packed in packs], dim=-1))


def reverse(packed: PackedSequence) -> PackedSequence:
    """Reverse each sequence in time, within its own length: data (N, ...)."""
    return packed._replace(data=packed.data.index_select(0, PackedLayout.of(packed).reversal))


def shift(packed: PackedSequence, steps: int, fill: float) -> PackedSequence:
    """Move each sequence's tokens ``steps`` later in time, within its length: data (N, ...).

    ``shift(packed, 1, fill)`` gives each token's predecessor, ``shift(packed, -1, fill)`` its successor (a language
    model's targets). Tokens that leave the sequence are lost; empty places take the value ``fill``.
    """
    layout = PackedLayout.of(packed)
    source = layout.positions - steps
    outside = (source < 0) | (source >= layout.lengths[layout.ranks])
    data = packed.data.index_select(0, layout.index(source.masked_fill(outside, 0), layout.ranks))
    return packed._replace(data=data.masked_fill(broadcast(outside, data), fill))


# Used by the other modules of this package


def broadcast(leading: Tensor, data: Tensor) -> Tensor:
    """Append dimensions of size 1 to ``leading`` (N, ...) until it has as many as ``data``."""
    return leading.reshape(leading.shape + (1,) * (data.dim() - leading.dim()))


def check_aligned(name: str, packs: Sequence[PackedSequence]) -> None:
    """Raise ValueError unless token i of one pack belongs to token i of each other pack."""
    head = packs[0]
    for i, packed in enumerate(packs):
        if not torch.equal(packed.batch_sizes, head.batch_sizes):
            raise ValueError(
                f"{name}: pack 0 holds {_described(head)} and pack {i} holds {_described(packed)}, "
                "of different lengths; pack both from the same rows"
            )
        one, other = head.sorted_indices, packed.sorted_indices
        if one is not other and (one is None or other is None or not torch.equal(one, other)):
            raise ValueError(
                f"{name}: pack 0 and pack {i} hold their sequences in different orders; "
                "pack both with the same lengths, or sort the rows once and pack with enforce_sorted=True"
            )


def _described(packed: PackedSequence) -> str:
    return f"{len(packed.data)} tokens in {PackedLayout.of(packed).num_sequences} sequences"
