"""A whole fit, a resume and the callbacks on the strict device."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import seqkit.callbacks
from seqkit import SequenceDataModule, Tagger
from tests.device.accelerator import trainer
from tests.device.strict import waits
from tests.device.waits import EMBEDDING, ENCODER, rows


@pytest.fixture(scope="module")
def splits():
    return rows()


def build(splits, **options):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    torch.manual_seed(0)
    return Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING, **options), data


def fit(splits, folder, path=None, epochs=2, **options):
    model, data = build(splits, dropout=0.3)
    saved = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    run = trainer(folder, max_epochs=epochs, enable_checkpointing=True, callbacks=[saved], **options)
    run.fit(model, data, ckpt_path=path)
    return {name: values.cpu() for name, values in model.state_dict().items()}


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("step", [2, 7])
def test_a_resumed_fit_equals_an_uninterrupted_one(splits, tmp_path, step):
    whole = fit(splits, tmp_path / "whole")
    torch.manual_seed(99)
    resumed = fit(splits, tmp_path / "whole", tmp_path / "whole" / f"step={step}.ckpt")
    for name, values in whole.items():
        assert torch.equal(resumed[name], values), name


def test_callbacks(splits, tmp_path):
    (tmp_path / "vectors.txt").write_text("".join(f"w{i} 1 2 3 4 5 6\n" for i in range(20)))
    callbacks = [
        seqkit.callbacks.PredictionWriter(str(tmp_path / "predicted.jsonl")),
        seqkit.callbacks.Report(folder=str(tmp_path / "report")),
        seqkit.callbacks.WordVectors(str(tmp_path / "vectors.txt"), frozen_epochs=1),
        seqkit.callbacks.NonMonotonicAveraging(patience=0),
        seqkit.callbacks.EarlyStop(),
        seqkit.callbacks.BestCheckpoint(),
    ]
    model, data = build(splits)
    run = trainer(tmp_path, max_epochs=3, callbacks=callbacks, enable_checkpointing=True, log_every_n_steps=1)
    run.fit(model, data)
    run.test(model, data, verbose=False)
    run.predict(model, data)
    assert len((tmp_path / "predicted.jsonl").read_text().splitlines()) == 20


def test_a_checkpoint_of_the_device_predicts_on_the_cpu(splits, tmp_path):
    model, data = build(splits)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "saved.ckpt")
    there = run.predict(model, data)
    loaded = Tagger.load_from_checkpoint(tmp_path / "saved.ckpt", map_location="cpu")
    assert trainer(tmp_path, "cpu").predict(loaded, data) == there


def test_a_progress_bar_of_lightning_waits_once_a_step_and_progress_once_a_line(splits, tmp_path):
    counts = {}
    for bar in ("none", "seqkit", "Lightning"):
        with waits() as recorded:
            model, data = build(splits)
            options = {"limit_val_batches": 0, "num_sanity_val_steps": 0, "log_every_n_steps": 10**6}
            options["callbacks"] = [seqkit.callbacks.Progress()] if bar == "seqkit" else []
            run = trainer(tmp_path, max_epochs=3, enable_progress_bar=bar != "none", **options)
            run.fit(model, data)
        counts[bar] = sum(wait.operator == "aten::_local_scalar_dense" for wait in recorded)
    assert counts["none"] < 6  # Lightning's own, once a fit: logging a value does not wait
    assert counts["none"] < counts["seqkit"] <= counts["none"] + 3  # once a line
    assert counts["Lightning"] >= run.global_step
