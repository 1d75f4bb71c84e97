import copy
import itertools
import json
import time
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from seqkit import SequenceDataModule, Tagger
from seqkit.data import Words
from seqkit.nn import LSTM, Embedding
from seqkit.optim import WarmupCosine
from tests import processes


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def rows_of(loader):
    return [batch.rows.tolist() for batch in loader]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


class TestLoaders:
    @pytest.mark.parametrize("split", ["val", "test", "predict"])
    def test_evaluation_yields_every_row_once_in_full(self, splits, split):
        data = make(splits, max_tokens=6)  # less than the longest row
        loader = getattr(data, f"{split}_dataloader")()
        rows = rows_of(loader)
        assert sorted(flat(rows)) == list(range(20))
        assert len(loader) == len(rows)

    def test_training_yields_every_row_once_in_another_order_each_epoch(self, splits):
        loader = make(splits).train_dataloader()
        first = rows_of(loader)
        loader.sampler.set_epoch(1)
        second = rows_of(loader)
        assert sorted(flat(first)) == sorted(flat(second)) == list(range(60))
        assert first != second
        assert len(first) == len(second) == len(loader)

    def test_predicting_needs_no_targets(self, splits):
        spec = make(splits).spec
        bare = datasets.DatasetDict(test=splits["test"].remove_columns("tags"))
        batch = next(iter(make(bare, spec=spec).predict_dataloader()))
        assert batch.targets == {}

    def test_workers_give_the_same_batches(self, splits):
        without, with_workers = make(splits), make(splits, num_workers=2)
        loaders = without.train_dataloader(), with_workers.train_dataloader()
        for mine, theirs in zip(*loaders, strict=True):
            assert mine.rows.tolist() == theirs.rows.tolist()
            assert torch.equal(mine.inputs["words"].data, theirs.inputs["words"].data)

    def test_the_global_random_state_does_not_change(self, splits):
        state = torch.get_rng_state()
        rows_of(make(splits).train_dataloader())
        assert torch.equal(state, torch.get_rng_state())

    def test_only_training_truncates(self, splits):
        data = make(splits, max_tokens=4, overlong="truncate")
        assert max(len(b.inputs["words"].batch_sizes) for b in data.train_dataloader()) == 4
        assert max(len(b.inputs["words"].batch_sizes) for b in data.test_dataloader()) == 8


class TestSpec:
    def test_has_plain_types(self, splits):
        data = make(splits, inputs={"words": Words(min_frequency=2), "series": None})
        assert json.loads(json.dumps(data.spec)) == data.spec

    def test_a_given_spec_is_not_learned_again(self, splits):
        spec = make(splits).spec
        rows = {"words": [["new", "w1"]], "tags": [["odd"] * 2]}
        other = datasets.DatasetDict(test=datasets.Dataset.from_dict(rows))
        ids = make(other, spec=spec, inputs=None, targets=None).rows("test")[[0]].inputs["words"].data
        assert ids.tolist()[0] == 0
        assert ids.tolist()[1] > 0


class TestBadInput:
    def test_no_inputs(self, splits):
        with pytest.raises(ValueError, match="inputs=None: name a column to learn from, or give a `spec`"):
            SequenceDataModule(splits)

    def test_no_such_split(self, splits):
        data = make(splits["train"])
        with pytest.raises(ValueError, match=r"no split 'test', only \['train', 'validation'\]; name its file"):
            data.test_dataloader()

    def test_no_such_column(self, splits):
        with pytest.raises(ValueError, match=r"(?s)'wrds'.*words.*tags"):
            _ = make(splits, inputs="wrds").spec

    def test_a_row_over_the_budget(self, splits):
        with pytest.raises(ValueError, match=r"(?s)row \d+: \d tokens, but max_tokens=6.*drop.*truncate.*solo"):
            make(splits, max_tokens=6).train_dataloader()

    def test_an_empty_row(self, splits):
        spec = make(splits).spec
        rows = {"words": [["w1"], [], ["w2", "w3"]], "tags": [["odd"], [], ["even"] * 2]}
        broken = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows))
        with pytest.raises(ValueError, match=r"(?s)row 1.*drop"):
            make(broken, spec=spec, validation_fraction=0).train_dataloader()

    def test_dropped_rows_are_counted_and_reported(self, splits, caplog):
        data = make(splits, max_tokens=6, overlong="drop")
        longer = int((data.rows("train").lengths > 6).sum())
        with caplog.at_level("INFO"):
            loader = data.train_dataloader()
        assert f"{longer} of 60 rows dropped: overlong" in caplog.text
        assert len(flat(rows_of(loader))) == 60 - longer

    def test_an_unknown_label(self, splits):
        spec = make(splits).spec
        other = datasets.DatasetDict(test=datasets.Dataset.from_dict({"words": [["w1"]], "tags": [["strange"]]}))
        with pytest.raises(ValueError, match=r"(?s)test row 0.*tags.*strange.*even.*odd"):
            make(other, spec=spec).test_dataloader()

    def test_targets_shorter_than_tokens(self, splits):
        spec = make(splits).spec
        other = datasets.DatasetDict(
            test=datasets.Dataset.from_dict({"words": [["w1"], ["w1", "w2"]], "tags": [["odd"], ["odd"]]})
        )
        with pytest.raises(ValueError, match=r"(?s)test row 1.*1.*2|test row 1.*2.*1"):
            make(other, spec=spec).test_dataloader()


def model_for(data, dropout=0.2):
    torch.manual_seed(0)
    return Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=8, bidirectional=True),
        embedding=partial(Embedding, embedding_dim=8),
        dropout=dropout,
        lr_scheduler=WarmupCosine,  # needs the number of steps
    )


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [1, 7, "epoch"])
def test_a_resumed_run_ends_as_the_uninterrupted_one(splits, trainer, tmp_path, workers, cut):
    data = make(splits, num_workers=workers)
    steps = len(data.train_dataloader())
    cut = steps if cut == "epoch" else cut
    model = model_for(data)

    def saving():
        saved = ModelCheckpoint(dirpath=tmp_path, filename="{step}", every_n_train_steps=cut, save_top_k=-1)
        return trainer(max_epochs=3, enable_checkpointing=True, callbacks=[saved])

    saving().fit(model, data)
    expected = weights_of(model)

    resumed = model_for(make(splits))
    torch.manual_seed(99)  # dropout continues with the checkpoint's random state, not with this one
    checkpoint = tmp_path / f"step={cut}.ckpt"
    saving().fit(resumed, make(splits, num_workers=workers), ckpt_path=checkpoint, weights_only=True)
    for name, value in weights_of(resumed).items():
        assert torch.equal(value, expected[name]), name


def test_state_is_small_json(splits, trainer):
    data = make(splits)
    run = trainer(max_epochs=1)
    run.fit(model_for(data), data)
    state = data.state_dict()
    assert len(json.dumps(state)) < 1024
    assert state["epoch"] == 1


def test_resuming_with_other_lengths_raises(splits, trainer, tmp_path):
    data = make(splits)
    run = trainer(max_epochs=1)
    run.fit(model_for(data), data)
    run.save_checkpoint(tmp_path / "run.ckpt")
    fewer = copy.copy(splits)
    fewer["train"] = splits["train"].select(range(50))
    with pytest.raises(ValueError, match=r"60 rows.*50 rows"):
        trainer(max_epochs=2).fit(
            model_for(data), make(fewer, spec=data.spec), ckpt_path=tmp_path / "run.ckpt", weights_only=True
        )


_KILLED = """
import sys
from pathlib import Path

import datasets
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

sys.path.insert(0, sys.argv[1])
from test_datamodule import make, model_for  # noqa: E402


class Slow(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step > 12:
            Path(sys.argv[3], "far enough").touch()
            import time
            time.sleep(60)


splits = datasets.load_from_disk(sys.argv[2])
data = make(splits, num_workers=int(sys.argv[4]))
saved = ModelCheckpoint(dirpath=sys.argv[3], filename="last", every_n_train_steps=5, enable_version_counter=False)
Trainer(
    accelerator="cpu", max_epochs=3, logger=False, callbacks=[Slow(), saved], enable_progress_bar=False,
    default_root_dir=sys.argv[3],
).fit(model_for(data), data)
"""


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_in_mid_epoch_resumes_bit_for_bit(splits, trainer, tmp_path, workers):
    splits.save_to_disk(tmp_path / "splits")
    loaded = datasets.load_from_disk(tmp_path / "splits")
    model = model_for(make(loaded))
    trainer(max_epochs=3).fit(model, make(loaded, num_workers=workers))

    script = tmp_path / "run.py"
    script.write_text(_KILLED)
    process = processes.Process(script, Path(__file__).parent, tmp_path / "splits", tmp_path, workers)
    deadline = time.monotonic() + 120
    while not (tmp_path / "far enough").exists():
        assert process.is_running(), "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get far enough"
        time.sleep(0.1)
    process.kill()

    resumed = model_for(make(loaded))
    saved = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=5, enable_version_counter=False)
    trainer(max_epochs=3, enable_checkpointing=True, callbacks=[saved]).fit(
        resumed, make(loaded, num_workers=workers), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    for name, value in weights_of(resumed).items():
        assert torch.equal(value, weights_of(model)[name]), name
