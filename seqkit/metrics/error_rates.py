"""Error rates of label sequences."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric

from seqkit.labels import nearest, split


class ErrorRates(Metric):
    """Error rates of label sequences against the nearest of their references, over all rows and ranks.

    ``label_error_rate``: insertions, deletions and substitutions divided by the labels of the references (the phone
    or character error rate). ``sequence_error_rate``: share of rows with an error (the word error rate, if each row
    is a word). Of several nearest references, the first one counts.
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
        """Add found label sequences, data (M,), one per row, and their references; see :mod:`seqkit.labels`."""
        references, distances = nearest(split(found), split(wanted))
        self.edits += distances.sum()
        self.labels += references.lengths.sum()
        self.wrong += (distances > 0).sum()
        self.rows += len(distances)

    def compute(self) -> dict[str, Tensor]:
        """Compute both rates; the first may exceed 1."""
        # Not by the default type, which is a half type in a step with true half precision.
        return {
            "label_error_rate": self.edits.float() / self.labels.clamp(min=1).float(),
            "sequence_error_rate": self.wrong.float() / self.rows.clamp(min=1).float(),
        }
