import collections

import pytest
import torch

import seqkit
from seqkit import data, nn
from seqkit.class_paths import class_at, public_path


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
    assert class_at(path) is cls


def test_a_path_without_a_class():
    with pytest.raises(ValueError, match=r"cannot import 'seqkit.nn.Lstm': .*; give the path of a class, such as"):
        class_at("seqkit.nn.Lstm")
    with pytest.raises(ValueError, match=r"cannot import 'nowhere.LSTM': No module named 'nowhere'; give the path"):
        class_at("nowhere.LSTM")
    with pytest.raises(ValueError, match=r"'seqkit.nn' is a module; give the path of a class"):
        class_at("seqkit.nn")
