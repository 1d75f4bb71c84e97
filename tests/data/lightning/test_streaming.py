import json
from functools import partial

import lightning
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from lightning.pytorch import Callback

from seqkit import Classifier, SequenceDataModule, Tagger
from seqkit.data import Files, StepCost
from seqkit.nn import GRU, Embedding, LastPool
from seqkit.optim import WarmupCosine

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")

WORDS = ["the", "a", "cat", "dog", "sees", "hears", "big", "small"]


def table(rows, seed=0):
    random = np.random.default_rng(seed)
    words = [random.choice(WORDS, length).tolist() for length in random.integers(1, 12, rows)]
    tags = [[word[0] for word in row] for row in words]
    return Dataset.from_dict({"id": list(range(rows)), "words": words, "tags": tags})


@pytest.fixture
def folder(tmp_path):
    for split, rows in (("train", 120), ("dev", 20)):
        for shard in range(4):
            part = table(rows).shard(4, shard, contiguous=True)
            part.to_parquet(str(tmp_path / f"{split}-{shard}.parquet"))
    return tmp_path


def data_of(folder, **options):
    source = Files(train=str(folder / "train-*.parquet"), validation=str(folder / "dev-*.parquet"))
    return SequenceDataModule(
        source, "words", "tags", **{"max_tokens": 40, "streaming": True, "pool": 50, **options}
    )


def tagger(spec, **options):
    return Tagger(
        spec,
        embedding=partial(Embedding, embedding_dim=8),
        encoder=partial(GRU, hidden_size=8, bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=0.05),
        **options,
    )


class Seen(Callback):
    def __init__(self, stop_at=None):
        self.rows, self.stop_at = [], stop_at

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.rows.append((trainer.current_epoch, batch.rows.tolist()))
        if trainer.global_step == self.stop_at:
            trainer.save_checkpoint(trainer.default_root_dir + "/cut.ckpt")


def fit(tmp_path, data, model, *, ckpt_path=None, stop_at=None, **options):
    seen = Seen(stop_at)
    defaults = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": str(tmp_path),
        "callbacks": [seen],
    }
    trainer = lightning.Trainer(**{**defaults, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    return trainer, seen.rows


def test_fits_from_files_and_evaluates_every_row_once(folder, tmp_path):
    data = data_of(folder)
    model = tagger(data.spec)
    trainer, seen = fit(tmp_path, data, model, max_epochs=3)
    assert trainer.callback_metrics["val_accuracy"] > 0.9
    for epoch in range(3):
        rows = sorted(row for at, batch in seen if at == epoch for row in batch)
        assert rows == list(range(120))
    dev = [row for batch in data.val_dataloader() for row in batch.rows.tolist()]
    assert sorted(dev) == list(range(20))
    assert model._units_per_step == pytest.approx(data.train_dataloader().dataset.tokens_per_step)


def test_batches_are_those_of_the_loaded_files(folder):
    data, loaded = data_of(folder, pool=200), data_of(folder, streaming=False)
    assert data.spec == loaded.spec
    rows = loaded.rows("train")
    for batch in data.train_dataloader():
        # the rows of a stream are numbered in the order of the epoch, shard by shard
        assert batch.inputs["words"].data.shape == batch.targets["tags"].data.shape
    whole = data._stream_loader("train", training=False)
    for batch in whole:
        expected = rows[batch.rows.tolist()]
        assert torch.equal(batch.inputs["words"].data, expected.inputs["words"].data)
        assert torch.equal(batch.targets["tags"].data, expected.targets["tags"].data)


@pytest.mark.parametrize(("cut", "workers"), [(1, 0), (7, 0), ("end", 0), ("later", 0), (7, 2), ("end", 2)])
def test_resumes_exactly(cut, workers, folder, tmp_path):

    def run(**options):
        torch.manual_seed(0)
        data = data_of(folder, num_workers=workers)
        return fit(tmp_path, data, tagger(data.spec), limit_val_batches=0, **options)

    whole, rows = run()
    per_epoch = sum(epoch == 0 for epoch, _ in rows)
    step = {"end": per_epoch, "later": per_epoch + 3}.get(cut, cut)
    run(stop_at=step)
    resumed, tail = run(ckpt_path=str(tmp_path / "cut.ckpt"))
    assert tail == rows[step:]
    for name, value in whole.lightning_module.state_dict().items():
        assert torch.equal(value, resumed.lightning_module.state_dict()[name]), name
    state = torch.load(tmp_path / "cut.ckpt", weights_only=True)["SequenceDataModule"]
    assert len(json.dumps(state)) < 4000


def test_trainer_options(folder, tmp_path):
    data = data_of(folder)
    trainer, seen = fit(tmp_path, data, tagger(data.spec), limit_train_batches=5)
    assert [epoch for epoch, _ in seen] == [0] * 5 + [1] * 5
    assert seen[:5] != seen[5:]
    data = data_of(folder)
    trainer, seen = fit(tmp_path, data, tagger(data.spec), max_steps=7, val_check_interval=3, max_epochs=-1)
    assert trainer.global_step == len(seen) == 7


def test_a_schedule_needs_the_number_of_steps(folder, tmp_path):
    data = data_of(folder)
    with pytest.raises(ValueError, match="set the trainer's max_steps, or use a schedule without total_steps"):
        fit(tmp_path, data, tagger(data.spec, lr_scheduler=WarmupCosine))
    data = data_of(folder)
    trainer, _ = fit(tmp_path, data, tagger(data.spec, lr_scheduler=WarmupCosine), max_steps=3, max_epochs=-1)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)


def test_an_iterable_dataset_in_python(tmp_path):
    def rows():
        for row in table(60):
            yield {"words": row["words"], "length": "even" if len(row["words"]) % 2 == 0 else "odd"}

    streams = IterableDatasetDict(train=IterableDataset.from_generator(rows))
    for source in (streams, streams["train"]):
        data = SequenceDataModule(source, "words", "length", max_sequences=8, pool=30)
        model = Classifier(
            data.spec,
            embedding=partial(Embedding, embedding_dim=8),
            encoder=partial(GRU, hidden_size=8),
            pooling=LastPool,
            optimizer=partial(torch.optim.Adam, lr=0.01),
        )
        _, seen = fit(tmp_path, data, model, max_epochs=1, limit_val_batches=0)
        assert sorted(row for _, batch in seen for row in batch) == list(range(60))
        assert data.val_dataloader() == []


def test_any_source_streams(tmp_path):
    table(30).to_json(str(tmp_path / "rows.jsonl"))
    data = SequenceDataModule(
        Files(train=str(tmp_path / "rows.jsonl")), "words", "tags", max_tokens=40, streaming=True
    )
    assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == list(range(30))


def test_unknown_words_after_the_first_pool_and_bad_rows(tmp_path):
    rows = [*[{"words": ["a"], "tags": ["x"]}] * 4, *[{"words": [w], "tags": ["z"]} for w in ("a", "new")]]
    data = SequenceDataModule(DatasetDict(train=Dataset.from_list(rows)), "words", "tags", max_tokens=9)
    stream = IterableDatasetDict(train=Dataset.from_list(rows).to_iterable_dataset())
    streamed = SequenceDataModule(stream, "words", "tags", max_tokens=9, pool=5)
    assert streamed.spec["inputs"]["words"]["size"] == data.spec["inputs"]["words"]["size"] - 1
    assert sum(len(batch.rows) for batch in streamed.train_dataloader()) == 6
    bad = [*rows, {"words": ["a"], "tags": ["y"]}]
    stream = IterableDatasetDict(train=Dataset.from_list(bad).to_iterable_dataset())
    streamed = SequenceDataModule(stream, "words", "tags", max_tokens=9, pool=5)
    with pytest.raises(ValueError, match="train row 6 of the stream \\(column 'tags'\\)"):
        list(streamed.train_dataloader())


def test_predict_needs_one_process(folder):
    data = data_of(folder, predict_split="validation")
    rows = [row for batch in data.predict_dataloader() for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(20))
    data = data_of(folder, predict_split="validation", num_workers=2)
    with pytest.raises(ValueError, match="1 ranks with 2 workers; use devices=1 and num_workers=0"):
        data.predict_dataloader()


def test_weights_draw_training_rows(tmp_path):
    rows = table(40).add_column("weight", [0.0] * 20 + [1.0] * 20)
    data = SequenceDataModule(rows, "words", "tags", max_tokens=40, weights="weight", validation_fraction=0)
    drawn = [row for batch in data.train_dataloader() for row in batch.rows.tolist()]
    assert sorted(set(drawn)) == list(range(20, 40))
    assert len(drawn) == 40
    data = SequenceDataModule(rows, "words", "tags", max_tokens=40, weights="importance")
    with pytest.raises(ValueError, match="weights: train has no column 'importance'"):
        data.train_dataloader()


def test_plan_options_reach_the_sampler():
    data = SequenceDataModule(
        table(80),
        "words",
        "tags",
        max_tokens=60,
        batch_multiple=4,
        longest_first=True,
        cost=StepCost(per_batch=1.0),
    )
    sampler = data.train_dataloader().sampler
    planner = sampler.planner
    assert (planner.budget.multiple, planner.longest_first, planner.cost.per_batch) == (4, True, 1.0)
    planner = data.val_dataloader().sampler.planner
    assert (planner.budget.multiple, planner.longest_first) == (1, False)
    for source in (table(80), {"train": table(80)}):
        data = SequenceDataModule(
            DatasetDict(source) if isinstance(source, dict) else source,
            "words",
            "tags",
            max_tokens=60,
            streaming=True,
            longest_first=True,
        )
        with pytest.raises(ValueError, match="longest_first and continuous need all rows at once"):
            data.train_dataloader()


def test_a_dataset_in_memory_streams():
    data = SequenceDataModule(table(80), "words", "tags", max_tokens=60, streaming=True)
    assert isinstance(data.splits["train"], IterableDataset)
    assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == list(range(80))


@pytest.mark.filterwarnings("ignore:Total length of `list`:UserWarning")  # there is no validation split
def test_overfit_batches_of_a_stream_raise():
    data = SequenceDataModule(table(80), "words", "tags", max_tokens=60, streaming=True)
    model = Tagger(data.spec, encoder=partial(GRU, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    trainer = lightning.pytorch.Trainer(
        accelerator="cpu",
        max_epochs=1,
        overfit_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    with pytest.raises(ValueError, match="overfit_batches needs the same batches in every epoch, but train is a"):
        trainer.fit(model, data)
