"""A checkpoint, a spec and a config of an earlier version load; tests/saved_files/make.py has made them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import seqkit
from seqkit import Tagger
from seqkit.cli import main
from seqkit.data.encoders import input_encoder, target_encoder
from seqkit.nn import CRF, LSTM

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]

pytestmark = [
    # Calls of Lightning that the pinned jsonargparse deprecates.
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),  # EarlyStop is in the config only
]


@pytest.fixture(autouse=True)
def saved_files(tmp_path, monkeypatch):
    """A copy of the files as the working directory."""
    shutil.copytree(Path(__file__).with_name("saved_files"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def test_the_checkpoint_rebuilds_the_model():
    model = Tagger.load_from_checkpoint("tagger.ckpt", weights_only=True)
    assert isinstance(model.encoder, LSTM)
    assert isinstance(model.decoder, CRF)
    assert (model.encoder.hidden_size, model.encoder.bidirectional) == (2, True)


def test_the_shared_model_loads():
    model, shared = Tagger.load_from_checkpoint("tagger.ckpt"), Tagger.from_pretrained("shared")
    assert dict(shared.hparams) == dict(model.hparams)
    assert all(torch.equal(value, shared.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_checkpoint_suffices_for_a_test():
    scores = main(["test", "--ckpt_path=tagger.ckpt", *QUICK]).trainer.callback_metrics
    expected = json.loads(Path("scores.json").read_text())
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(expected, rel=1e-4)


def test_the_checkpoint_suffices_for_predictions():
    main(["predict", "--ckpt_path=tagger.ckpt", *QUICK])
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    predicted = [json.loads(line) for line in Path("predictions.jsonl").read_text().splitlines()]
    assert [len(line["tags"]) for line in predicted] == [len(row["tags"]) for row in rows]


def test_the_checkpoint_predicts_raw_rows():
    model = seqkit.load("tagger.ckpt")
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    predicted = model.predict(rows, scores=True)
    assert [len(line["tags"]) for line in predicted] == [len(row["tags"]) for row in rows]
    assert model.predict(rows[0], scores=True)["tags"] == predicted[0]["tags"]


@pytest.mark.filterwarnings("ignore:WarmupCosine")  # this fit has more epochs
@pytest.mark.filterwarnings("ignore:.*was removed or replaced")  # the best checkpoint of that run is not kept
def test_a_fit_resumes_from_the_checkpoint():
    options = ["--ckpt_path=tagger.ckpt", "--trainer.max_epochs=2", "--trainer.default_root_dir=runs"]
    cli = main(["fit", *options, *QUICK])
    assert cli.trainer.current_epoch == 2


def test_the_config_fits():
    cli = main(["fit", "--config", "config.yaml", "--trainer.fast_dev_run=2", *QUICK])
    assert cli.trainer.global_step == 2


def test_the_spec_rebuilds_every_encoder():
    spec = json.loads(Path("spec.json").read_text())
    for group, encoder in (("inputs", input_encoder), ("targets", target_encoder)):
        for column, entry in spec[group].items():
            built = encoder(spec, column)
            assert built.init_args() == entry["init_args"]
            assert (built.kind, built.size) == (entry["kind"], entry["size"])
