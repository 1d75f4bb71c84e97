"""A run that is logged to Weights & Biases, in a script and by the config of the page, without a network."""

from pathlib import Path

import pytest

from seqkit.cli import main
from tests.docs.pages import DEPRECATED, ROOT, fenced

wandb = pytest.importorskip("wandb")
PAGE = ROOT / "docs" / "howto" / "logging.md"

pytestmark = DEPRECATED


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """Let nothing leave the temporary folder, and end the process that writes the run."""
    monkeypatch.setenv("WANDB_MODE", "offline")  # Lightning sets it, too; this restores it
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.teardown()


def written(folder):
    """The files of the runs in a folder."""
    return list(Path(folder).glob("wandb/offline-run-*/run-*.wandb"))


def test_script(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logged = load("log_to_wandb").main(["--rows", "400", "--epochs", "1", "--folder", "made"])
    assert 0 < logged["test_accuracy"] <= 1
    assert {"train_loss", "val_loss", "tokens/s", "waste"} <= logged.keys()
    wandb.teardown()  # another process writes the file
    (run,) = written("made")
    assert run.stat().st_size > 1000
    assert [file.name for file in Path("made", "brackets").rglob("best.ckpt")] == ["best.ckpt"]


def test_config(folder):
    (config,) = [block for block in fenced(PAGE, "yaml") if "WandbLogger" in block]
    before = Path("config.yaml").read_text()
    cli = main(["fit", "--config", "config.yaml", "--config", config, "--trainer.max_epochs=1"])
    run = cli.trainer.loggers[1].experiment
    assert 0 < run.summary["val_accuracy"] <= 1
    assert run.config["model"]["class_path"] == "seqkit.Tagger"
    assert run.config["data"]["max_tokens"] == 64
    run.finish()
    assert len(written("runs")) == 1
    assert Path("runs", "version_0", "checkpoints", "best.ckpt").is_file()
    assert Path("config.yaml").read_text() == before
