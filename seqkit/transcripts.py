"""Label sequences whose length is their own: the targets of CTC and what is decoded from its outputs.

They travel as a PackedSequence of ids (M,) apart from the inputs, brought to the order of the rows by its
``unsorted_indices``. :data:`END` closes each, so that one may be empty and a row may hold several *references*, any
of which is right (the pronunciations of a word). A row that is not closed counts as closed.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = ["END", "UNKNOWN", "Transcripts", "close", "edit_distances", "split"]

END = -1
"""Closes a label sequence."""

UNKNOWN = -2
"""A label that training did not have: no output can be it."""


class Transcripts(NamedTuple):
    """Label sequences one after the other.

    Attributes:
        labels: (M,), ids of all R label sequences, without their ends.
        lengths: (R,), labels of each.
        rows: (R,), whose each is: a place in the batch, in rising order.
    """

    labels: Tensor
    lengths: Tensor
    rows: Tensor

    @property
    def owners(self) -> Tensor:
        """(M,), the label sequence that each label stands in."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.labels))


def split(sequences: PackedSequence) -> Transcripts:
    """Take closed label sequences, data (M,), apart, in the order of the rows."""
    counts = packed.lengths(sequences).to(sequences.data.device)
    ids = torch.cat([sequences.data[:0], *packed.unpack(sequences)])
    rows = torch.repeat_interleave(counts, output_size=len(ids))
    ends = ids == END
    closing = ends.clone()
    closing[counts.cumsum(0) - 1] = True
    owners = closing.cumsum(0) - closing.long()
    lengths = torch.bincount(owners[~ends], minlength=int(closing.sum()))
    return Transcripts(ids[~ends], lengths, rows[closing])


def close(labels: Tensor, lengths: Tensor) -> PackedSequence:
    """Pack one label sequence a row, the opposite of :func:`split`.

    Args:
        labels: (M,), ids of all rows one after the other.
        lengths: (B,), labels of each row; may be 0.

    Returns:
        Data (M + B,), with ``unsorted_indices`` that give the rows in the order they came in.
    """
    held = labels.new_full((len(labels) + len(lengths),), END)
    inside = torch.ones_like(held, dtype=torch.bool)
    inside[(lengths + 1).cumsum(0) - 1] = False
    held[inside] = labels
    return packed.pack(held, (lengths + 1).cpu())


def edit_distances(found: Transcripts, wanted: Transcripts) -> Tensor:
    """Count the insertions, deletions and substitutions from one label sequence to another (Levenshtein 1966).

    The whole table, for all pairs at once; ``torchmetrics.functional.text.edit_distance`` looks at a band of it
    only, pair by pair.

    Args:
        found: R label sequences.
        wanted: As many.

    Returns:
        (R,), int64.
    """
    ours, theirs = _table(found), _table(wanted)  # (R, K), (R, L)
    places = torch.arange(theirs.shape[1] + 1, device=theirs.device)
    line = places.expand(len(theirs), -1)  # distance of each beginning of `wanted` to the beginning of `found`
    distances = wanted.lengths
    for k in range(ours.shape[1]):
        changed = line[:, :-1] + (ours[:, k, None] != theirs)
        line = torch.cat([line[:, :1], torch.minimum(line[:, 1:], changed - 1)], 1) + 1
        line = torch.cummin(line - places, 1).values + places  # insertions, any number of them
        distances = torch.where(found.lengths == k + 1, line.gather(1, wanted.lengths[:, None])[:, 0], distances)
    return distances


def _table(transcripts: Transcripts) -> Tensor:
    """The labels (R, L), each in the column of its place; what is in the others is never looked at."""
    lengths, owners = transcripts.lengths, transcripts.owners
    width = int(lengths.max()) if len(lengths) else 0
    places = torch.arange(len(owners), device=owners.device) - (lengths.cumsum(0) - lengths)[owners]
    table = transcripts.labels.new_zeros(len(lengths), width)
    table[owners, places] = transcripts.labels
    return table
