"""Label sequences whose length is their own: the targets of CTC and what is decoded from its outputs.

They travel as a PackedSequence of ids (M,) apart from the inputs, brought to the order of the rows by its
``unsorted_indices``. :data:`END` closes each, so that one may be empty and a row may hold several *references*, any
of which is right (the pronunciations of a word). A row that is not closed counts as closed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

__all__ = [
    "END",
    "UNKNOWN",
    "Aligned",
    "Transcripts",
    "align",
    "close",
    "distinct",
    "edit_distances",
    "nearest",
    "split",
]

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


def distinct(transcripts: Transcripts) -> Transcripts:
    """Drop the label sequences that their row has already."""
    # What stands behind a sequence's end in the table is 0 for all of them.
    keys = torch.cat([transcripts.rows[:, None], transcripts.lengths[:, None], _table(transcripts)], 1)
    _, groups = torch.unique(keys, dim=0, return_inverse=True)
    places = torch.arange(len(keys), device=keys.device)
    firsts = places.new_full((len(keys),), len(keys)).scatter_reduce(0, groups, places, "amin")
    kept = (firsts[groups] == places).nonzero()[:, 0]
    return _chosen(transcripts, kept)._replace(rows=transcripts.rows[kept])


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
    distances = wanted.lengths
    for k, line in enumerate(_lines(_table(found), _table(wanted))):
        distances = torch.where(found.lengths == k, line.gather(1, wanted.lengths[:, None])[:, 0], distances)
    return distances


def nearest(found: Transcripts, wanted: Transcripts) -> tuple[Transcripts, Tensor]:
    """Choose, for each row, the reference with the fewest edits; of several the first.

    Args:
        found: B label sequences, one a row.
        wanted: R references, at least one a row.

    Returns:
        B references, and their edit distances (B,).
    """
    count, device = len(found.lengths), wanted.rows.device
    distances = edit_distances(_chosen(found, wanted.rows), wanted)  # (R,)
    far = torch.iinfo(torch.int64).max
    least = distances.new_full((count,), far).scatter_reduce(0, wanted.rows, distances, "amin")
    places = torch.where(distances == least[wanted.rows], torch.arange(len(distances), device=device), far)
    return _chosen(wanted, places.new_full((count,), far).scatter_reduce(0, wanted.rows, places, "amin")), least


class Aligned(NamedTuple):
    """Pairs of label sequences side by side, label by label, as the fewest edits align them.

    Attributes:
        found: (E,), a label, or :data:`END` where one is left out.
        wanted: (E,), a label, or :data:`END` where one is put in.
    """

    found: Tensor
    wanted: Tensor


def align(found: Transcripts, wanted: Transcripts) -> Aligned:
    """Align label sequences, all pairs at once; of alignments with equally few edits one that substitutes last.

    Args:
        found: R label sequences.
        wanted: As many.
    """
    # A column more, so that there is one to look at in a table of empty sequences.
    ours, theirs = (F.pad(_table(transcripts), (0, 1), value=END) for transcripts in (found, wanted))
    table = torch.stack(list(_lines(ours, theirs)), 1)  # (R, K, L), edits between the beginnings
    pairs = torch.arange(len(table), device=table.device)
    i, j = found.lengths, wanted.lengths
    held: list[Aligned] = []
    while bool(((i > 0) | (j > 0)).any()):
        before_i, before_j = (i - 1).clamp(min=0), (j - 1).clamp(min=0)
        x, y, edits = ours[pairs, before_i], theirs[pairs, before_j], table[pairs, i, j]
        both = (i > 0) & (j > 0) & (table[pairs, before_i, before_j] + (x != y).long() == edits)
        left_out = ~both & (j > 0) & (table[pairs, i, before_j] + 1 == edits)
        put_in = ~both & ~left_out & (i > 0)
        moved = both | left_out | put_in
        held.append(Aligned(x.masked_fill(left_out, END)[moved], y.masked_fill(put_in, END)[moved]))
        i, j = i - (both | put_in).long(), j - (both | left_out).long()
    none = found.labels[:0]
    return Aligned(
        torch.cat([none, *(step.found for step in held)]), torch.cat([none, *(step.wanted for step in held)])
    )


def _lines(ours: Tensor, theirs: Tensor) -> Iterator[Tensor]:
    """For k = 0 to K, the edits (R, L + 1) between the first k labels of (R, K) and each beginning of (R, L)."""
    places = torch.arange(theirs.shape[1] + 1, device=theirs.device)
    line = places.expand(len(theirs), -1)
    yield line
    for k in range(ours.shape[1]):
        changed = line[:, :-1] + (ours[:, k, None] != theirs)
        line = torch.cat([line[:, :1], torch.minimum(line[:, 1:], changed - 1)], 1) + 1
        line = torch.cummin(line - places, 1).values + places  # insertions, any number of them
        yield line


def _chosen(transcripts: Transcripts, index: Tensor) -> Transcripts:
    """Some label sequences (I,), maybe the same several times, each a row of its own."""
    starts = transcripts.lengths.cumsum(0) - transcripts.lengths
    lengths = transcripts.lengths[index]
    offsets = torch.repeat_interleave(starts[index] - (lengths.cumsum(0) - lengths), lengths)
    places = torch.arange(len(offsets), device=offsets.device) + offsets
    return Transcripts(transcripts.labels[places], lengths, torch.arange(len(lengths), device=lengths.device))


def _table(transcripts: Transcripts) -> Tensor:
    """The labels (R, L), each in the column of its place; what is in the others is never looked at."""
    lengths, owners = transcripts.lengths, transcripts.owners
    width = int(lengths.max()) if len(lengths) else 0
    places = torch.arange(len(owners), device=owners.device) - (lengths.cumsum(0) - lengths)[owners]
    table = transcripts.labels.new_zeros(len(lengths), width)
    table[owners, places] = transcripts.labels
    return table
