"""Label sequences whose lengths differ from those of the inputs: targets of CTC, and what decoding finds.

They are packed on their own as ids, data (M,); ``unsorted_indices`` restores the order of the rows. :data:`END`
terminates each label sequence. Therefore a label sequence may be empty, and a row may have several *references*,
all of them correct (the pronunciations of a word). The last one of a row may lack its :data:`END`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

END = -1
"""Terminates a label sequence."""

UNKNOWN = -2
"""A label that the training data lack: no output can be equal to it."""


class Transcripts(NamedTuple):
    """Concatenated label sequences.

    Attributes:
        labels: (M,), ids of all R label sequences, without :data:`END`.
        lengths: (R,), number of labels of each sequence.
        rows: (R,), position in the batch of the row that each sequence belongs to, ascending.
    """

    labels: Tensor
    lengths: Tensor
    rows: Tensor

    @property
    def owners(self) -> Tensor:
        """(M,), index of the label sequence that each label belongs to."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.labels))

    def select(self, index: Tensor) -> "Transcripts":
        """Return the label sequences at an index (I,), which may repeat; each becomes a row of its own."""
        starts = self.lengths.cumsum(0) - self.lengths
        lengths = self.lengths[index]
        offsets = torch.repeat_interleave(starts[index] - (lengths.cumsum(0) - lengths), lengths)
        positions = torch.arange(len(offsets), device=offsets.device) + offsets
        return Transcripts(self.labels[positions], lengths, torch.arange(len(lengths), device=lengths.device))

    def to_padded(self) -> Tensor:
        """Return the labels as a matrix (R, L), with 0 after the end of each sequence."""
        lengths, owners = self.lengths, self.owners
        width = int(lengths.max()) if len(lengths) else 0
        positions = torch.arange(len(owners), device=owners.device) - (lengths.cumsum(0) - lengths)[owners]
        padded = self.labels.new_zeros(len(lengths), width)
        padded[owners, positions] = self.labels
        return padded


def split(sequences: PackedSequence) -> Transcripts:
    """Split terminated label sequences, data (M,), in the order of the rows; the result is on the CPU.

    Its sizes depend on the labels, so the host must read these: for labels on an accelerator it waits once.
    """
    (sequences,) = packed.to_host([sequences])
    counts = packed.lengths(sequences)
    ids = torch.cat([sequences.data[:0], *packed.unpack(sequences)])
    rows = torch.repeat_interleave(counts, output_size=len(ids))
    is_end = ids == END
    is_last = is_end.clone()
    is_last[counts.cumsum(0) - 1] = True
    owners = is_last.cumsum(0) - is_last.long()
    lengths = torch.bincount(owners[~is_end], minlength=int(is_last.sum()))
    return Transcripts(ids[~is_end], lengths, rows[is_last])


def close(labels: Tensor, lengths: Tensor) -> PackedSequence:
    """Terminate and pack one label sequence per row: the inverse of :func:`split`.

    Args:
        labels: (M,), concatenated ids of all rows.
        lengths: (B,), number of labels of each row; may be 0.

    Returns:
        Data (M + B,), with ``unsorted_indices`` that restore the order of the rows.
    """
    ids = labels.new_full((len(labels) + len(lengths),), END)
    is_label = torch.ones_like(ids, dtype=torch.bool)
    is_label[(lengths + 1).cumsum(0) - 1] = False
    ids[is_label] = labels
    return packed.pack(ids, (lengths + 1).cpu())


def unique_references(transcripts: Transcripts) -> Transcripts:
    """Drop each label sequence that repeats an earlier one of the same row."""
    # The padding is 0 in all of them, so equal rows and lengths and columns mean equal sequences.
    keys = torch.cat([transcripts.rows[:, None], transcripts.lengths[:, None], transcripts.to_padded()], 1)
    _, groups = torch.unique(keys, dim=0, return_inverse=True)
    index = torch.arange(len(keys), device=keys.device)
    first = index.new_full((len(keys),), len(keys)).scatter_reduce(0, groups, index, "amin")
    kept = (first[groups] == index).nonzero()[:, 0]
    return transcripts.select(kept)._replace(rows=transcripts.rows[kept])
