import csv
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelSummary, TQDMProgressBar
from lightning.pytorch.loggers import Logger

from seqkit.callbacks import EarlyStop, Progress
from seqkit.class_paths import class_at, public_path
from seqkit.cli import main
from seqkit.upstream.lightning import find_callbacks
from tests import processes

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# Calls of Lightning that the pinned jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


def fit(*options):
    return main(["fit", "--config", "config.yaml", *QUICK, *options])


def test_fit_leaves_a_checkpoint_and_two_logs(folder):
    cli = fit()
    run = folder / "runs" / "version_0"
    assert {file.name for file in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert any(file.name.startswith("events.out.tfevents") for file in run.iterdir())
    with (run / "metrics.csv").open() as file:
        assert "val_accuracy" in csv.DictReader(file).fieldnames
    assert cli.trainer.callback_metrics["val_accuracy"] > 0.5
    torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)


def test_fit_on_a_stream(folder):
    cli = fit("--data.streaming=true", "--data.pool=50")
    assert isinstance(cli.datamodule.splits["train"], datasets.IterableDataset)
    assert cli.trainer.callback_metrics["val_accuracy"] > 0.5
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    tested = main(["test", f"--ckpt_path={checkpoint}", *QUICK])
    assert tested.trainer.callback_metrics["test_accuracy"] > 0.5


def test_a_checkpoint_suffices_for_test_and_predict_in_a_fresh_process(folder):
    cli = fit()
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    (expected,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    # Neither training rows nor labels are needed: the checkpoint has the spec.
    rows = datasets.load_from_disk("rows")
    datasets.DatasetDict(test=rows["test"]).save_to_disk("other")
    datasets.DatasetDict(test=rows["test"].remove_columns("tags")).save_to_disk("bare")
    source = "--data.source.init_args.path"
    tested = processes.run("-m", "seqkit", "test", "--ckpt_path", checkpoint, *QUICK, source, "other")
    assert f"{expected['test_loss']:.4f}" in tested.stdout
    predict = ["predict", f"--ckpt_path={checkpoint}", "--predictions.path", "out.jsonl"]
    processes.run("-m", "seqkit", *predict, *QUICK, source, "bare")
    assert "seed_everything" not in Path("config.yaml").read_text()  # it is still the user's file
    predicted = [json.loads(line)["tags"] for line in Path("out.jsonl").read_text().splitlines()]
    tags = rows["test"]["tags"]
    assert list(map(len, predicted)) == list(map(len, tags))
    correct = np.concatenate(predicted) == np.concatenate(tags)
    assert correct.mean() == pytest.approx(expected["test_accuracy"])


def test_a_checkpoint_from_a_script_needs_only_a_source(folder, splits, trainer):
    from functools import partial

    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint("script.ckpt")
    (expected,) = run.test(model, data, verbose=False)
    options = ["--data.source.class_path=seqkit.data.SavedDataset", "--data.source.init_args.path=rows"]
    cli = main(["test", "--ckpt_path=script.ckpt", *QUICK, "--data.max_tokens=64", *options])
    assert cli.trainer.callback_metrics["test_accuracy"] == pytest.approx(expected["test_accuracy"])


def test_the_default_callbacks_that_print(folder, capsys):
    quick = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
    quick += ["--trainer.logger=false", "--trainer.enable_checkpointing=false"]
    cli = main(["fit", "--config", "config.yaml", *quick])
    assert isinstance(cli.trainer.progress_bar_callback, Progress)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert len([line for line in printed.splitlines() if line.startswith("epoch ")]) == 1
    assert "parameters" in printed
    assert "FLOPs" not in printed
    own = ["--trainer.callbacks+=lightning.pytorch.callbacks.TQDMProgressBar"]
    own += ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelSummary"]
    cli = main(["fit", "--config", "config.yaml", *quick, *own])
    assert type(cli.trainer.progress_bar_callback) is TQDMProgressBar
    assert [type(found) for found in find_callbacks(cli.trainer, ModelSummary)] == [ModelSummary]
    capsys.readouterr()
    cli = main(["fit", "--config", "config.yaml", *QUICK, *quick])
    assert cli.trainer.progress_bar_callback is None
    assert find_callbacks(cli.trainer, ModelSummary) == []
    assert "epoch 1" not in capsys.readouterr().out


def test_resumes_with_the_config_and_the_checkpoint(folder):
    first = fit()
    resumed = fit(f"--ckpt_path={first.trainer.checkpoint_callback.last_model_path}", "--trainer.max_epochs=5")
    assert resumed.trainer.current_epoch == 5
    assert resumed.trainer.global_step == first.trainer.global_step * 5 / 3


def test_options_override_those_of_the_checkpoint(folder):
    checkpoint = fit().trainer.checkpoint_callback.last_model_path
    cli = main(["test", f"--ckpt_path={checkpoint}", *QUICK, "--model.init_args.per_class=true"])
    assert {"test_f1_even", "test_f1_odd"} <= set(cli.trainer.callback_metrics)
    assert cli.trainer.ckpt_path == checkpoint


def strings(value):
    """All strings in nested containers, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from [*strings(key), *strings(item)]
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def test_saved_files_name_classes_by_their_public_paths(folder):
    """Whatever path the config gives: a file's, a package's or only the name of a class."""
    parts = ["--model=seqkit.tasks.tagger.Tagger", "--model.encoder=seqkit.nn.rnn.layers.LSTM"]
    parts += ["--model.decoder=CRF", "--model.optimizer=torch.optim.adam.Adam"]
    parts += [
        "--trainer.callbacks+=seqkit.callbacks.stopping.EarlyStop",
        "--data.inputs={words: {class_path: Words}}",
    ]
    fit(*parts, "--model.encoder.hidden_size=8")
    run = Path("runs", "version_0")
    config = yaml.safe_load((run / "config.yaml").read_text())
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for saved in (config, checkpoint):
        paths = {path for path in strings(saved) if path.startswith(("seqkit.", "torch.optim."))}
        assert {"seqkit.Tagger", "seqkit.nn.LSTM", "seqkit.nn.CRF", "torch.optim.Adam"} <= paths
        assert {"seqkit.data.Words", "seqkit.data.SavedDataset"} <= paths
        assert {path: public_path(class_at(path)) for path in paths} == {path: path for path in paths}


def test_inspect_prints_and_draws(folder, capsys):
    main(["inspect", "--config", "config.yaml", "--picture", "new/lengths.png"])
    printed = capsys.readouterr().out
    for word in ("train", "validation", "test", "waste", "random", "correlation"):
        assert word in printed
    assert (folder / "new" / "lengths.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in (folder / "new").iterdir()] == ["lengths.png"]


class TestBadInput:
    def test_an_unknown_key(self, folder, capsys):
        with pytest.raises(SystemExit):
            fit("--data.max_tokenz=3")
        assert "max_tokenz" in capsys.readouterr().err

    def test_an_unknown_key_in_a_config(self, folder, capsys):
        config = yaml.safe_load(Path("config.yaml").read_text())
        config["data"]["max_token"] = 3
        Path("config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(SystemExit):
            fit()
        assert "max_token" in capsys.readouterr().err

    def test_an_error_of_a_part_is_raised_unchanged(self, folder):
        with pytest.raises(ValueError, match=r"^Tagger is causal, but encoder LSTM is bidirectional"):
            fit("--model.init_args.causal=true")

    def test_a_missing_column_lists_the_columns(self, folder):
        with pytest.raises(ValueError, match=r"(?s)wrds.*words.*tags"):
            fit("--data.inputs=wrds")

    def test_a_checkpoint_of_another_task(self, folder):
        checkpoint = fit().trainer.checkpoint_callback.last_model_path
        with pytest.raises(ValueError, match=r"checkpoint is one of .*Tagger, but the model is .*Classifier"):
            fit(f"--ckpt_path={checkpoint}", "--model=seqkit.Classifier", "--data.targets=label")


def test_a_csv_file_with_one_row_a_step(folder):
    steps = [(step, group) for step in range(7) for group in "abcdef"[max(step - 1, 0) :]]  # of 2 to 7 steps
    lines = [f"{group},{step},{step % 3},{step % 2}\n" for step, group in steps]
    Path("steps.csv").write_text("".join(["group,step,size,odd\n", *lines]))
    config = yaml.safe_load(Path("config.yaml").read_text())
    files = {"train": "steps.csv", "group": "group", "order": "step", "vectors": {"sizes": ["size"]}}
    config["data"]["source"] = {"class_path": "seqkit.data.Files", "init_args": files}
    config["data"] |= {"inputs": "sizes", "targets": "odd"}
    del config["model"]["init_args"]["embedding"]
    Path("config.yaml").write_text(yaml.safe_dump(config))
    cli = fit("--trainer.max_epochs=1")
    assert cli.datamodule.spec["inputs"]["sizes"]["size"] == 1
    assert sum(len(rows) for rows in cli.datamodule.splits.values()) == 6
    with pytest.raises(
        ValueError, match=r"train row 17 \(line 19 of steps\.csv\) \(column 'size'\): group='c' has 0"
    ):
        fit("--data.source.group=[group]", "--data.source.order=size", "--data.source.vectors=null")


class Recorder(Logger):
    """A logger without a folder for each run, as most trackers of experiments are."""

    name, version = "recorder", "1"

    def __init__(self, save_dir: str = ".") -> None:
        super().__init__()
        self._save_dir = save_dir
        self.parameters, self.metrics = [], {}

    @property
    def save_dir(self):
        return self._save_dir

    def log_hyperparams(self, params):
        self.parameters.append(params)

    def log_metrics(self, metrics, step=None):
        self.metrics |= metrics


RECORDER = f"--trainer.logger={__name__}.Recorder"


class TestALoggerOfTheConfig:
    def test_the_run_keeps_its_folder(self, folder):
        before = Path("config.yaml").read_text()
        cli = fit(RECORDER, "--trainer.max_epochs=1")
        run = Path("runs", "version_0")
        assert {file.name for file in run.iterdir()} == {"config.yaml", "metrics.csv", "checkpoints"}
        assert Path("config.yaml").read_text() == before  # Lightning would write the config into the logger's "."
        assert not [file for file in folder.iterdir() if file.name not in ("config.yaml", "rows", "runs")]
        _, recorder = cli.trainer.loggers
        assert "val_accuracy" in recorder.metrics
        tested = main(["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), RECORDER, *QUICK])
        assert "test_accuracy" in tested.trainer.loggers[1].metrics
        assert (run / "test" / "version_0" / "test_tags.json").is_file()

    def test_it_gets_the_config(self, folder):
        cli = fit(RECORDER, "--trainer.max_epochs=1")
        (logged,) = cli.trainer.loggers[1].parameters
        assert logged["model"]["class_path"] == "seqkit.Tagger"
        assert logged["model"]["init_args"]["encoder"]["init_args"]["hidden_size"] == 8
        assert logged["data"]["max_tokens"] == 64
        assert "spec" not in logged["model"]["init_args"]
        assert not list(strings(logged["data"]["spec"]))
        last = cli.trainer.checkpoint_callback.last_model_path
        again = fit(RECORDER, "--trainer.max_epochs=2", f"--ckpt_path={last}")
        assert again.trainer.loggers[1].parameters == []

    def test_one_with_a_folder_comes_first(self, folder):
        csv_logger = "{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: own}}"
        cli = fit(f"--trainer.logger=[{{class_path: {__name__}.Recorder}}, {csv_logger}]", "--trainer.max_epochs=1")
        assert [type(logger).__name__ for logger in cli.trainer.loggers] == ["CSVLogger", "Recorder"]
        run = Path("own", "lightning_logs", "version_0")
        assert (run / "config.yaml").is_file()
        assert (run / "checkpoints" / "best.ckpt").is_file()
        assert not Path("runs").exists()

    @pytest.mark.parametrize("none", ["false", "[]"])
    def test_none(self, folder, none):
        cli = fit(f"--trainer.logger={none}", "--trainer.max_epochs=1", "--trainer.enable_checkpointing=false")
        assert cli.trainer.loggers == []
        assert {file.name for file in folder.iterdir()} == {"config.yaml", "rows"}


class TestCallbacks:
    class Ends(Callback):
        """Ends a fit after its first validation."""

        def on_validation_end(self, trainer, pl_module):
            trainer.should_stop = not trainer.sanity_checking

    def test_an_object_joins_those_of_the_config(self, folder):
        ends = self.Ends()
        cli = main(["fit", "--config", "config.yaml", *QUICK, "--trainer.callbacks+=EarlyStop"], callbacks=[ends])
        assert find_callbacks(cli.trainer, self.Ends) == [ends]
        assert len(find_callbacks(cli.trainer, EarlyStop)) == 1
        assert cli.trainer.current_epoch == 1

    def test_a_progress_bar_takes_the_place_of_the_default(self, folder):
        bar = Progress(seconds=60)
        quick = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
        cli = main(["fit", "--config", "config.yaml", *quick], callbacks=[bar])
        assert find_callbacks(cli.trainer, Progress) == [bar]

    def test_a_command_without_a_trainer_refuses_them(self):
        with pytest.raises(ValueError, match="sweep takes no callbacks; give them to fit"):
            main(["sweep", "--config", "config.yaml"], callbacks=[self.Ends()])
