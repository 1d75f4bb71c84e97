import collections

import pytest
import torch

import seqkit
from seqkit import data, nn
from seqkit.class_paths import public_path


class Own:
    class Inner:
        pass


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (seqkit.Tagger, "seqkit.Tagger"),
        (seqkit.SequenceDataModule, "seqkit.SequenceDataModule"),
        (nn.LSTM, "seqkit.nn.LSTM"),
        (nn.CRF, "seqkit.nn.CRF"),
        (data.Words, "seqkit.data.Words"),
        (data.SavedDataset, "seqkit.data.SavedDataset"),
        (seqkit.LengthBucketSampler, "seqkit.LengthBucketSampler"),
        (torch.optim.Adam, "torch.optim.Adam"),
        (torch.nn.LSTM, "torch.nn.LSTM"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (Own, f"{__name__}.Own"),
        (Own.Inner, f"{__name__}.Own.Inner"),
    ],
)
def test_the_shortest_path_that_imports_the_class(cls, path):
    assert public_path(cls) == path
