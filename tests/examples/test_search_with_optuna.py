"""The search changes keys of a config, keeps its trials and ends those that are worse."""

import shlex
from pathlib import Path

import pytest

from tests.docs.pages import DEPRECATED

optuna = pytest.importorskip("optuna")

pytestmark = DEPRECATED
STORAGE = "sqlite:///search.db"
QUICK = ["--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.mark.usefixtures("folder")
def test_three_trials(load, capsys):
    study = load("search_with_optuna").main(["config.yaml", "--trials", "3", *QUICK])
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert len({trial.params["model.optimizer.lr"] for trial in study.trials}) == 3
    best = study.best_trial
    assert best.value == max(trial.value for trial in study.trials) > 0.5
    assert Path(best.user_attrs["checkpoint"]).is_file()
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:6] == ["python", "-m", "seqkit", "fit", "--config", "config.yaml"]
    assert f"--model.optimizer.lr={best.params['model.optimizer.lr']}" in command
    saved = Path(best.user_attrs["checkpoint"]).parents[1] / "config.yaml"
    assert f"hidden_size: {best.params['model.encoder.hidden_size']}" in saved.read_text()


class PruneTheSecond(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number == 1


@pytest.mark.usefixtures("folder")
def test_a_pruned_trial_ends_early(load, monkeypatch):
    monkeypatch.setattr(optuna.pruners, "MedianPruner", PruneTheSecond)
    study = load("search_with_optuna").main(["config.yaml", "--trials", "2", "--storage", STORAGE, *QUICK])
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [2, 1]  # epochs
    kept = optuna.load_study(study_name="config.yaml", storage=STORAGE)
    assert [trial.state.name for trial in kept.trials] == ["COMPLETE", "PRUNED"]
