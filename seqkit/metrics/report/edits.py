"""The report of label sequences: the most frequent substitutions, deletions and insertions."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics.utilities import dim_zero_cat

from seqkit.labels import END, UNKNOWN, align, nearest, split
from seqkit.metrics.report.base import ReportMetric, ReportTable, readable
from seqkit.metrics.report.figures import draw_confusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_ROWS = {"substitution": 15, "deletion": 8, "insertion": 8}  # in the table
_MAX_DRAWN = 60  # labels; a larger figure is not readable
_OFFSET = -min(END, UNKNOWN)  # makes ids, END and UNKNOWN non-negative


class EditReport(ReportMetric):
    """Report which labels are substituted, deleted and inserted, against the nearest reference of each row.

    Args:
        names: The C label names.
    """

    pairs: list[Tensor]
    rows: Tensor
    wrong: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        self._base = len(names) + _OFFSET
        # One number for each aligned pair. A dense table of pairs would be too large for a vocabulary of words.
        self.add_list_state("pairs", torch.long)
        for state in ("rows", "wrong"):
            self.add_state(state, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predicted: PackedSequence, target: PackedSequence) -> None:
        """Count a batch: label sequences, one a row, and references, data (M,) each; see :mod:`seqkit.labels`."""
        found = split(predicted)
        references, distances = nearest(found, split(target))
        aligned = align(found, references)
        pairs = (aligned.wanted + _OFFSET) * self._base + aligned.found + _OFFSET
        self.pairs.append(pairs.to(self.rows.device))  # label sequences are split on the CPU
        self.rows += len(distances)
        self.wrong += (distances > 0).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return ``pairs``, (2, K), codes and counts of label pairs, and the numbers ``rows`` and ``wrong``."""
        pairs = torch.unique(dim_zero_cat(self.pairs), return_counts=True)
        return {"pairs": torch.stack(pairs).cpu(), "rows": self.rows.cpu(), "wrong": self.wrong.cpu()}

    def table(self) -> ReportTable:
        """Format the most frequent edits of each kind."""
        plain = self.to_python()
        totals = plain["totals"]
        total = sum(totals[kind] for kind in _MAX_ROWS)
        sections = []
        for kind, most in _MAX_ROWS.items():
            edits = [edit for edit in plain["edits"] if edit["edit"] == kind][:most]
            sections.append(
                [
                    (kind, _cell(true), _cell(predicted), f"{count:,}", f"{count / total:.1%}")
                    for _, true, predicted, count in map(dict.values, edits)
                ]
            )
        kinds = ", ".join(f"{totals[kind]:,} {kind}s" for kind in _MAX_ROWS)
        caption = (
            f"{total:,} edits of {totals['labels']:,} labels: {kinds}; {totals['rows_wrong']:,} of "
            f"{totals['rows']:,} rows wrong"
        )
        return ReportTable(("edit", "true", "predicted", "count", "share of edits"), sections, caption)

    def to_python(self) -> dict[str, Any]:
        """Return the totals, the counts of each label, and all edits, most frequent first; None is no label."""
        pairs, found = self._pair_counts(), self.compute()
        totals = dict.fromkeys(("labels", "right", *_MAX_ROWS), 0)
        support, predictions = Counter[int](), Counter[int]()
        for (true, predicted), count in pairs.items():
            totals["labels"] += count if true != END else 0
            totals[_kind(true, predicted)] += count
            support[true] += count
            predictions[predicted] += count
        by_label = {
            name: {"support": support[i], "predicted": predictions[i], "right": pairs.get((i, i), 0)}
            for i, name in enumerate(self.names)
        }
        names = dict(enumerate(self.names)) | {UNKNOWN: "(unknown)", END: None}
        edits = [
            {"edit": _kind(*pair), "true": names[pair[0]], "predicted": names[pair[1]], "count": count}
            for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
            if pair[0] != pair[1]
        ]
        totals |= {"rows": int(found["rows"]), "rows_wrong": int(found["wrong"])}
        return {"totals": totals, "by_label": by_label, "edits": edits}

    def plot(self, title: str = "") -> "tuple[Figure, Any] | None":
        """Draw true labels by predicted ones, ∅ for no label; nothing for 60 labels or more."""
        size = len(self.names) + 1
        if size > _MAX_DRAWN:
            return None
        matrix = np.zeros((size, size), dtype=np.int64)
        for (true, predicted), count in self._pair_counts().items():
            if UNKNOWN not in (true, predicted):
                matrix[true, predicted] = count  # END is -1, the last
        return draw_confusion(matrix, [*self.names, "∅"], title)

    def _pair_counts(self) -> dict[tuple[int, int], int]:
        """Count pairs of true and predicted ids."""
        codes, counts = self.compute()["pairs"].tolist()
        ids = (divmod(code, self._base) for code in codes)
        return {(i - _OFFSET, j - _OFFSET): count for (i, j), count in zip(ids, counts, strict=True)}


def _kind(true: int, predicted: int) -> str:
    if true == predicted:
        return "right"
    return "insertion" if true == END else "deletion" if predicted == END else "substitution"


def _cell(name: str | None) -> str:
    return "" if name is None else readable(name)
