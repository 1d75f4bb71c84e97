"""Edit distances (Levenshtein 1966) and alignments of label sequences, all pairs of a batch at once."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqkit.labels.sequences import END, Transcripts


def edit_distances(found: Transcripts, wanted: Transcripts) -> Tensor:
    """Count the insertions, deletions and substitutions that turn each label sequence into another.

    Fills the whole table of each pair; ``torchmetrics.functional.text.edit_distance`` fills a band of it only, one
    pair after the other.

    Args:
        found: R label sequences.
        wanted: R label sequences.

    Returns:
        (R,), int64.
    """
    distances = wanted.lengths
    for k, line in enumerate(_table_lines(found.to_padded(), wanted.to_padded())):
        distances = torch.where(found.lengths == k, line.gather(1, wanted.lengths[:, None])[:, 0], distances)
    return distances


def nearest(found: Transcripts, wanted: Transcripts) -> tuple[Transcripts, Tensor]:
    """Choose, for each row, the reference with the fewest edits; the first one of several.

    Args:
        found: B label sequences, one per row.
        wanted: R references, at least one per row.

    Returns:
        B references, and their edit distances (B,).
    """
    count, device = len(found.lengths), wanted.rows.device
    distances = edit_distances(found.select(wanted.rows), wanted)  # (R,)
    infinite = torch.iinfo(torch.int64).max
    least = distances.new_full((count,), infinite).scatter_reduce(0, wanted.rows, distances, "amin")
    index = torch.where(distances == least[wanted.rows], torch.arange(len(distances), device=device), infinite)
    return wanted.select(index.new_full((count,), infinite).scatter_reduce(0, wanted.rows, index, "amin")), least


class Aligned(NamedTuple):
    """Pairs of label sequences, aligned label by label with the fewest edits.

    Attributes:
        found: (E,), a label, or :data:`END` for a deletion.
        wanted: (E,), a label, or :data:`END` for an insertion.
    """

    found: Tensor
    wanted: Tensor


def align(found: Transcripts, wanted: Transcripts) -> Aligned:
    """Align label sequences; of several alignments with the fewest edits take one that substitutes last.

    Args:
        found: R label sequences.
        wanted: R label sequences.
    """
    # One column more, so that tables of empty sequences can be indexed, too.
    ours, theirs = (F.pad(transcripts.to_padded(), (0, 1), value=END) for transcripts in (found, wanted))
    table = torch.stack(list(_table_lines(ours, theirs)), 1)  # (R, K, L), edits between the prefixes
    pairs = torch.arange(len(table), device=table.device)
    i, j = found.lengths, wanted.lengths
    steps: list[Aligned] = []
    while bool(((i > 0) | (j > 0)).any()):
        before_i, before_j = (i - 1).clamp(min=0), (j - 1).clamp(min=0)
        x, y, edits = ours[pairs, before_i], theirs[pairs, before_j], table[pairs, i, j]
        both = (i > 0) & (j > 0) & (table[pairs, before_i, before_j] + (x != y).long() == edits)
        deleted = ~both & (j > 0) & (table[pairs, i, before_j] + 1 == edits)
        inserted = ~both & ~deleted & (i > 0)
        moved = both | deleted | inserted
        steps.append(Aligned(x.masked_fill(deleted, END)[moved], y.masked_fill(inserted, END)[moved]))
        i, j = i - (both | inserted).long(), j - (both | deleted).long()
    empty = found.labels[:0]
    return Aligned(
        torch.cat([empty, *(step.found for step in steps)]), torch.cat([empty, *(step.wanted for step in steps)])
    )


def _table_lines(ours: Tensor, theirs: Tensor) -> Iterator[Tensor]:
    """For k = 0 to K, the edits (R, L + 1) between the first k labels of (R, K) and each prefix of (R, L)."""
    positions = torch.arange(theirs.shape[1] + 1, device=theirs.device)
    line = positions.expand(len(theirs), -1)
    yield line
    for k in range(ours.shape[1]):
        changed = line[:, :-1] + (ours[:, k, None] != theirs)
        line = torch.cat([line[:, :1], torch.minimum(line[:, 1:], changed - 1)], 1) + 1
        line = torch.cummin(line - positions, 1).values + positions  # insertions, any number of them
        yield line
