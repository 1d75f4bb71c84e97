"""A run that is logged to MLflow, in a script and by the config of the page, in a database file."""

from pathlib import Path

import pytest

from seqkit.cli import main
from tests.docs.pages import DEPRECATED, ROOT, fenced

tracking = pytest.importorskip("mlflow.tracking")
PAGE = ROOT / "docs" / "howto" / "logging.md"

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # in mlflow
    DEPRECATED,
]


def run_of(experiment):
    """The only run of an experiment in the database of the working directory."""
    client = tracking.MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def test_script(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_id = load("log_to_mlflow").main(["--rows", "400", "--epochs", "1"])
    run = run_of("brackets")
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    assert 0 < run.data.metrics["test_accuracy"] <= 1
    assert {"val_loss", "tokens/s", "waste"} <= run.data.metrics.keys()
    assert run.data.params["hidden_size"] == "32"
    assert Path("runs", run_id, "best.ckpt").is_file()


def test_config(folder):
    (config,) = [block for block in fenced(PAGE, "yaml") if "MLFlowLogger" in block]
    options = ["--config", "config.yaml", "--config", config]
    cli = main(["fit", *options, "--trainer.max_epochs=1"])
    run = run_of("tagger")
    assert 0 < run.data.metrics["val_accuracy"] <= 1
    assert run.data.params["model/class_path"] == "seqkit.Tagger"
    assert run.data.params["data/max_tokens"] == "64"
    assert Path("runs", "version_0", "checkpoints", "best.ckpt").is_file()
    # Another value of a parameter in the same run would be an error.
    last, run_id = cli.trainer.checkpoint_callback.last_model_path, cli.trainer.loggers[1].run_id
    options += ["--trainer.max_epochs=2", "--ckpt_path", last, "--trainer.logger.init_args.run_id", run_id]
    main(["fit", *options])
    assert run_of("tagger").data.params["trainer/max_epochs"] == "1"
