import io
import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from seqkit.cli import main
from seqkit.cli.commands.sweep import _table

pytestmark = [
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def test_scores_every_seed_but_not_the_test_split(folder, capsys):
    result = main(["sweep", "--seeds", "3,4", "--output", "out.json", "--config", "config.yaml", *QUIET])
    assert result["seeds"] == [3, 4]
    assert result["monitor"] == "val_accuracy"
    assert {"val_accuracy", "val_loss", "fit_seconds", "epochs", "tokens/s"} <= set(result["scores"])
    assert not any(name.startswith("test_") for name in result["scores"])
    assert all(len(values) == 2 for values in result["scores"].values())
    assert result["scores"]["val_loss"][0] != result["scores"]["val_loss"][1]
    assert json.loads(Path("out.json").read_text()) == result
    printed = capsys.readouterr().out
    for of_one_fit in ("Tagger after", "LSTM", "checkpoint"):  # the tables of a fit
        assert of_one_fit not in printed
    first, second = result["scores"]["val_accuracy"]
    assert f"{(first + second) / 2:.4f}" in printed
    assert f"{abs(first - second) / 2**0.5:.4f}" in printed


def test_scores_the_best_checkpoint(folder, caplog, capsys):
    options = ["--config", "config.yaml", *QUIET]
    with caplog.at_level("INFO"):
        result = main(["sweep", "--seeds", "5", "--test", *options])
    assert len([message for message in caplog.messages if message.startswith("Loaded model weights")]) == 1
    assert "precision" not in capsys.readouterr().out  # a report of the test
    (checkpoint,) = Path("runs").rglob("best.ckpt")
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert result["parameters"] == sum(weight.numel() for weight in weights.values())
    tested = main(["test", f"--ckpt_path={checkpoint}", *QUIET]).trainer.callback_metrics
    assert result["scores"]["test_accuracy"] == [pytest.approx(float(tested["test_accuracy"]))]
    with pytest.raises(ValueError, match="sweep scores the best checkpoint; leave out"):
        main(["sweep", "--seeds", "5", *options, "--trainer.enable_checkpointing=false"])


def test_scores_averaged_weights(folder):
    averaging = ["--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"]
    result = main(["sweep", "--seeds", "3", "--config", "config.yaml", *averaging, *QUIET])
    (checkpoint,) = Path().rglob("best*.ckpt")
    validated = main(["validate", "--ckpt_path", str(checkpoint), *QUIET]).trainer.callback_metrics["val_loss"]
    assert result["scores"]["val_loss"] == [pytest.approx(float(validated), rel=1e-5)]


def test_only_the_first_rank_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("seqkit.cli.commands.sweep._run", lambda *_, **__: ("val_loss", 7, {"val_loss": 1.0}))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert main(["sweep", "--output", str(tmp_path / "out.json")])["scores"] == {"val_loss": [1.0, 1.0, 1.0]}
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_read_is_not_overwritten(folder):
    before = Path("config.yaml").read_text()
    Path("link.json").symlink_to("config.yaml")
    for output in ("config.yaml", "link.json"):
        with pytest.raises(ValueError, match=f"{output} would be overwritten, but .* is read; give another path"):
            main(["sweep", "--seeds", "5", "--output", output, "--config", "config.yaml", *QUIET])
    assert Path("config.yaml").read_text() == before
    assert not Path("runs").exists()


def test_the_table_cuts_no_name_and_no_value():
    seeds = list(range(12))
    names = ["val_upos_accuracy", "val_span_f1_macro", "fit_seconds", "tokens/s"]
    scores = {name: [10.0 ** (2 * number) + seed for seed in seeds] for number, name in enumerate(names)}
    result = {"seeds": seeds, "scores": scores, "monitor": names[1], "parameters": 1234567}
    console = Console(width=80, file=io.StringIO())
    console.print(_table(result))
    printed = console.file.getvalue()
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    words = printed.split()
    assert {*names, "1,000,005", "10,011", "6.5000"} <= set(words)
    assert [words.count(f"{seed + 1}.0000") for seed in seeds] == [1] * 12


@pytest.mark.parametrize(
    ("option", "near"), [("--sead=3", "--seeds"), ("--tst", "--test"), ("--max_epoch=3", "--trainer.max_epochs")]
)
def test_a_misspelt_option_is_named_with_the_near_one(option, near, folder, capsys):
    with pytest.raises(SystemExit):
        main(["sweep", option, "--config", "config.yaml", *QUIET])
    name = option.partition("=")[0]
    assert capsys.readouterr().err == f"error: there is no option {name}; did you mean {near}?\n"


@pytest.mark.parametrize("option", ["--seed=3", "--seed_everything=3"])
def test_an_option_for_one_seed_is_refused(option, folder):
    with pytest.raises(ValueError, match=rf"sweep gives each fit its seed; instead of {option}, name the seeds: "):
        main(["sweep", option, "--config", "config.yaml", *QUIET])


def test_seeds_that_are_no_integers():
    with pytest.raises(ValueError, match="--seeds: 'a,b' is not a list of integers, such as 0,1,2"):
        main(["sweep", "--seeds", "a,b"])
