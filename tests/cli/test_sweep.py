import json
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.utilities import rank_zero_only

from seqkit.cli.main import main as seqkit
from seqkit.cli.sweep import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),  # a test logs into a folder of its own
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def test_scores_every_seed_and_leaves_the_test_split_alone(folder, capsys):
    result = main(["--seeds", "3,4", "--output", "out.json", "--config", "config.yaml", *QUIET])
    assert result["seeds"] == [3, 4]
    assert result["monitor"] == "val_accuracy"
    assert result["parameters"] > 0
    assert {"val_accuracy", "val_loss", "fit_seconds", "epochs", "tokens/s"} <= set(result["scores"])
    assert not any(name.startswith("test_") for name in result["scores"])
    assert all(len(values) == 2 for values in result["scores"].values())
    assert result["scores"]["val_loss"][0] != result["scores"]["val_loss"][1]
    assert json.loads(Path("out.json").read_text()) == result
    printed = capsys.readouterr().out
    first, second = result["scores"]["val_accuracy"]
    assert f"{(first + second) / 2:.4f}" in printed
    assert f"{abs(first - second) / 2**0.5:.4f}" in printed


def test_scores_are_those_of_the_best_checkpoint(folder):
    from seqkit.cli.main import main as seqkit

    options = ["--config", "config.yaml", *QUIET]
    result = main(["--seeds", "5", "--test", *options])
    (checkpoint,) = Path("runs").rglob("best.ckpt")
    tested = seqkit(["test", f"--ckpt_path={checkpoint}", *QUIET]).trainer.callback_metrics
    assert result["scores"]["test_accuracy"] == [pytest.approx(float(tested["test_accuracy"]))]
    with pytest.raises(ValueError, match="sweep scores the best checkpoint; leave out"):
        main(["--seeds", "5", *options, "--trainer.enable_checkpointing=false"])


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # without the callback, on purpose
def test_averaged_weights_are_scored(folder):
    averaging = ["--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"]
    result = main(["--seeds", "3", "--config", "config.yaml", *averaging, *QUIET])
    (checkpoint,) = Path().rglob("best*.ckpt")
    alone = seqkit(["validate", "--ckpt_path", str(checkpoint), *QUIET]).trainer.callback_metrics["val_loss"]
    assert result["scores"]["val_loss"] == [pytest.approx(float(alone), rel=1e-5)]


def test_one_rank_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("seqkit.cli.sweep._run", lambda *_, **__: ("val_loss", 7, {"val_loss": 1.0}))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert main(["--output", str(tmp_path / "out.json")])["scores"] == {"val_loss": [1.0, 1.0, 1.0]}
    assert not list(tmp_path.iterdir())


def test_is_a_subcommand():
    run = [sys.executable, "-m", "seqkit", "sweep", "--help"]
    assert "--seeds" in subprocess.run(run, check=True, capture_output=True, text=True).stdout
