import copy
from functools import partial

import datasets
import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.cli import find_max_tokens
from seqkit.data.lightning import encoded_splits
from seqkit.nn import LSTM, Embedding

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def tagger(data):
    return Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=4),
        optimizer=partial(torch.optim.SGD, lr=0.1),
    )


@pytest.fixture
def encoded(monkeypatch):
    """The splits that are encoded, one after the other."""
    calls = []
    original = encoded_splits.encode_dataset

    def encode(dataset, spec, split, **options):
        calls.append(split)
        return original(dataset, spec, split, **options)

    monkeypatch.setattr(encoded_splits, "encode_dataset", encode)
    return calls


def test_a_stage_encodes_each_split_once(splits, trainer, encoded):
    data = make(splits)
    model = tagger(data)
    trainer(max_epochs=3, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=2).fit(model, data)
    assert sorted(encoded) == ["train", "validation"]
    trainer().test(model, data, verbose=False)
    assert encoded[2:] == ["test"]


def test_every_budget_reads_the_same_encoded_rows(splits, trainer, encoded):
    data = make(splits)
    find_max_tokens(trainer(), tagger(data), data, most=128)
    assert encoded == ["train"]


def test_continuous_text_is_encoded_once(splits, encoded):
    data = make(splits, targets=None, max_tokens=None, continuous=encoded_splits.Continuous(2, 5))
    first, second = (list(data.train_dataloader()) for _ in range(2))
    assert [batch.rows.tolist() for batch in first] == [batch.rows.tolist() for batch in second]
    assert encoded == ["train"]


def test_rows_with_and_without_targets(splits, encoded):
    data = make(splits)
    assert data.rows("test")[[0]].targets.keys() == {"tags"}
    assert data.rows("test", with_targets=False)[[0]].targets == {}
    assert data.rows("test")[[0]].targets.keys() == {"tags"}
    assert encoded == ["test", "test"]


def test_a_replaced_split_is_encoded_again(splits, encoded):
    data = make(copy.copy(splits))
    assert len(data.rows("train")) == 60
    data.splits["train"] = data.splits["train"].select(range(5))
    assert len(data.rows("train")) == 5


def test_the_rows_are_released_after_the_stage(splits, trainer, encoded):
    data = make(splits)
    model = tagger(data)
    trainer(max_epochs=1).fit(model, data)
    before = copy.deepcopy(data.spec)
    assert data._encoded._kept == {}
    assert data.spec == before
    trainer(max_epochs=1).fit(model, data)
    assert sorted(encoded) == ["train", "train", "validation", "validation"]


def test_teardown_does_not_load_the_source():
    class Broken(SequenceDataModule):
        @property
        def _encoded(self):
            raise AssertionError

    Broken(datasets.DatasetDict(), "words").teardown("fit")
