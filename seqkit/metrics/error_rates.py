"""Error rates of label sequences."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric

from seqkit.labels import nearest, split


class ErrorRates(Metric):
    """How far label sequences are from the nearest of their references, over all rows and ranks.

    ``label_error_rate``: insertions, deletions and substitutions over the labels of the references, the phone or
    character error rate. ``sequence_error_rate``: share of rows that are not exactly right; of single words, the
    word error rate. Of references that are equally near, the one that is listed first counts.
    """

    full_state_update = False
    higher_is_better = False
    edits: Tensor
    labels: Tensor
    wrong: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("edits", "labels", "wrong", "rows"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, found: PackedSequence, wanted: PackedSequence) -> None:
        """Add label sequences, data (M,), one a row, and those wanted; see :mod:`seqkit.labels`."""
        ours = split(found)
        references, distances = nearest(ours, split(wanted))
        self.edits += distances.sum()
        self.labels += references.lengths.sum()
        self.wrong += (distances > 0).sum()
        self.rows += len(distances)

    def compute(self) -> dict[str, Tensor]:
        """Both rates; the first may be above 1."""
        return {
            "label_error_rate": self.edits / self.labels.clamp(min=1),
            "sequence_error_rate": self.wrong / self.rows.clamp(min=1),
        }
