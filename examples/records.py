"""The data and the model of the training loops: is a number of a series larger than all numbers before it?"""

import datasets
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.nn import LSTM


class RecordTagger(nn.Module):
    """A recurrent layer and a linear head; packed data in, packed data out."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.encoder = LSTM(1, hidden_size)
        self.head = nn.Linear(self.encoder.output_size, 2)

    def forward(self, series: PackedSequence) -> PackedSequence:
        """Turn data (N, 1) into logits (N, 2)."""
        hidden, _ = self.encoder(series)
        logits: PackedSequence = hidden._replace(data=self.head(hidden.data))
        return logits


def records(rows: int, generator: torch.Generator) -> datasets.Dataset:
    """Make series of 1 to 30 numbers.

    Returns:
        Columns ``row``; ``series``, lists of vectors of one number; ``is_record``, lists of 0 and 1.
    """
    sizes = torch.randint(1, 31, (rows,), generator=generator).tolist()
    series = [torch.randn(size, generator=generator) for size in sizes]
    return datasets.Dataset.from_dict(
        {
            "row": list(range(rows)),
            "series": [values[:, None].tolist() for values in series],
            "is_record": [(values >= values.cummax(0).values).long().tolist() for values in series],
        }
    )
