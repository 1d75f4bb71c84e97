import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from seqkit.cli import main
from seqkit.cli.run.folder import check_writable, name_option, next_version, remove_unused, run_folder
from tests.cli.cases import one_parser

__all__ = ["one_parser"]

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SAVED_FILES = Path(__file__).parents[2] / "saved_files"

pytestmark = [
    pytest.mark.usefixtures("one_parser"),
    # Calls of Lightning that the pinned jsonargparse deprecates.
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
]


@pytest.fixture
def project(tmp_path):
    """A folder with rows and the run of a tagger that was trained there."""
    project = tmp_path / "a project"
    checkpoints = project / "runs" / "version_3" / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(SAVED_FILES / "rows.jsonl", project)
    checkpoint = torch.load(SAVED_FILES / "tagger.ckpt", weights_only=True)
    torch.save(checkpoint | {"seqkit_trained_in": str(project)}, checkpoints / "best.ckpt")
    return project


@pytest.fixture
def elsewhere(project, monkeypatch):
    """Another working directory."""
    folder = project.parent / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder):
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("checkpoint", "folder"),
    [
        ("runs/version_3/checkpoints/best.ckpt", "runs/version_3"),
        ("../p/version_3/checkpoints/last.ckpt", "../p/version_3"),
        ("checkpoints/best.ckpt", "."),
        ("tagger.ckpt", None),
        ("models/tagger.ckpt", None),
        ("s3://bucket/version_0/checkpoints/best.ckpt", None),
    ],
)
def test_the_run_of_a_checkpoint(checkpoint, folder):
    assert run_folder(checkpoint) == (None if folder is None else Path(folder))


def test_the_run_of_a_checkpoint_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path / "checkpoints")
    assert run_folder("best.ckpt") == Path("..")


def test_versions_follow_each_other(tmp_path):
    assert next_version(tmp_path / "new").name == "version_0"
    (tmp_path / "version_4").mkdir()
    assert next_version(tmp_path) == tmp_path / "version_5"


def test_files_of_an_evaluation_go_into_the_run_of_the_checkpoint(project, elsewhere, caplog):
    run = project / "runs" / "version_3"
    options = [f"--ckpt_path={run}/checkpoints/best.ckpt", *QUICK]
    options += [
        f"--data.source.init_args.{split}={project}/rows.jsonl" for split in ("train", "validation", "test")
    ]
    with caplog.at_level("INFO"):
        for _ in range(2):
            main(["test", *options])
    for version in ("version_0", "version_1"):
        assert {"test_tags.json", "config.yaml", "metrics.csv"} <= names(run / "test" / version)
        assert f"report: {run / 'test' / version}" in caplog.messages
    main(["validate", *options])
    assert "metrics.csv" in names(run / "validate" / "version_0")
    main(["predict", *options])
    lines = (run / "predict" / "version_0" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == len((project / "rows.jsonl").read_text().splitlines())
    assert names(run) == {"checkpoints", "test", "validate", "predict"}
    assert not names(elsewhere)


def test_options_name_another_folder(project, monkeypatch):
    monkeypatch.chdir(project)
    checkpoint = "--ckpt_path=runs/version_3/checkpoints/best.ckpt"
    main(["test", checkpoint, *QUICK, "--trainer.default_root_dir=reports"])
    assert "test_tags.json" in names(Path("reports", "version_0"))
    main(["predict", checkpoint, *QUICK, "--predictions.path=out.jsonl"])
    assert json.loads(Path("out.jsonl").read_text().splitlines()[0])["row"] == 0
    assert names(Path("runs", "version_3")) == {"checkpoints"}


@pytest.mark.parametrize("subcommand", ["fit", "test"])
def test_a_folder_that_cannot_be_written_names_the_option(subcommand, project, monkeypatch):
    monkeypatch.chdir(project)
    options = ["--ckpt_path=runs/version_3/checkpoints/best.ckpt", "--trainer.max_epochs=2", *QUICK]
    with pytest.raises(
        OSError, match=r"cannot write to rows\.jsonl/x: .*; name another .*--trainer\.default_root_dir"
    ):
        main([subcommand, *options, "--trainer.default_root_dir=rows.jsonl/x"])


def test_a_remote_folder_is_not_checked():
    check_writable("s3://bucket/runs")


def test_a_missing_file_names_the_option_and_the_place_of_the_training(project, elsewhere):
    options = [f"--ckpt_path={project}/runs/version_3/checkpoints/best.ckpt", *QUICK]
    with pytest.raises(FileNotFoundError) as raised:
        main(["test", *options])
    assert names(project / "runs" / "version_3") == {"checkpoints"}
    message = str(raised.value)
    assert message.startswith("rows.jsonl: no such file; it is the value of --data.source.init_args.train and ")
    assert f"relative to {elsewhere}. The training ran in {project}, where it exists" in message
    main(["test", *options, *shlex.split(message.partition("or add ")[2])])


def test_all_missing_files_are_named_at_once(project, elsewhere):
    for name in ("train", "dev"):
        shutil.copy(project / "rows.jsonl", project / f"{name}.jsonl")
    files = {"train": "train.jsonl", "validation": "dev.jsonl", "test": "gone.jsonl"}
    options = [f"--data.source.init_args.{split}={file}" for split, file in files.items()]
    options = [f"--ckpt_path={project}/runs/version_3/checkpoints/best.ckpt", *QUICK, *options]
    with pytest.raises(FileNotFoundError) as raised:
        main(["test", *options])
    message = str(raised.value)
    assert message.startswith(
        "train.jsonl: no such file; it is the value of --data.source.init_args.train; nor is there "
    )
    assert "nor is there dev.jsonl, the value of --data.source.init_args.validation" in message
    assert f"nor is there gone.jsonl, the value of --data.source.init_args.test, relative to {elsewhere}" in message
    assert f"The training ran in {project}, where 2 of these exist: run the command there, or add " in message
    added = shlex.split(message.partition("or add ")[2])
    assert added == [
        *("--data.source.init_args.train", str(project / "train.jsonl")),
        *("--data.source.init_args.validation", str(project / "dev.jsonl")),
    ]


@pytest.mark.parametrize("subcommand", ["fit", "validate", "test"])
def test_data_that_are_refused_leave_no_folder(subcommand, project, elsewhere):
    rows = [json.loads(line) for line in (project / "rows.jsonl").read_text().splitlines()]
    rows[1]["tags"][0] = "B-NEW"
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"train": f"{project}/rows.jsonl", "validation": "new.jsonl", "test": "new.jsonl"}
    options = [f"--data.source.init_args.{split}={file}" for split, file in files.items()]
    options += [f"--ckpt_path={project}/runs/version_3/checkpoints/best.ckpt", "--trainer.max_epochs=2", *QUICK]
    with pytest.raises(ValueError, match="the training split has no label 'B-NEW'"):
        main([subcommand, *options, "--data.unseen_labels=error"])
    assert names(project / "runs" / "version_3") == {"checkpoints"}
    assert names(elsewhere) == {"new.jsonl"}


def test_a_prediction_that_fails_leaves_no_folder(project, monkeypatch):
    monkeypatch.chdir(project)
    Path("rows.jsonl").write_text('{"words": ["Ann"]}\n{"words": []}\n')
    options = ["--ckpt_path=runs/version_3/checkpoints/best.ckpt", *QUICK]
    with pytest.raises(ValueError, match="row 1"):
        main(["predict", *options, "--predictions.path=new/out.jsonl"])
    assert names(Path("runs", "version_3")) == {"checkpoints"}
    assert names(project) == {"runs", "rows.jsonl"}


def test_a_run_with_values_is_kept(tmp_path):
    run = tmp_path / "runs" / "version_0"
    for name in ("metrics.csv", "checkpoints"):
        run.mkdir(parents=True)
        (run / "config.yaml").touch()
        (run / name).touch()
        remove_unused([run, tmp_path / "runs"])
        assert names(run) == {"config.yaml", name}
        (run / name).unlink()
        (run / "events.out.tfevents.1.2.3").touch()
        remove_unused([run, tmp_path / "runs"])
        assert not names(tmp_path)


def test_a_file_is_scored_where_those_of_the_training_are_not(project, elsewhere, recwarn):
    shutil.move(project / "rows.jsonl", elsewhere / "new.jsonl")
    files = ["--data.source.init_args.test=new.jsonl"]
    files += ["--data.source.init_args.train=null", "--data.source.init_args.validation=null"]
    main(["test", f"--ckpt_path={project}/runs/version_3/checkpoints/best.ckpt", *files, *QUICK])
    assert not [each for each in recwarn if "callbacks" in str(each.message)]
    assert names(project / "runs" / "version_3") == {"checkpoints", "test"}


def test_a_missing_file_of_a_config_names_the_option(project, elsewhere):
    shutil.copy(SAVED_FILES / "config.yaml", elsewhere)
    with pytest.raises(
        FileNotFoundError, match=r"rows\.jsonl: no such file; .*--data\.source\.init_args\.train"
    ) as raised:
        main(["fit", "--config=config.yaml", *QUICK])
    assert "training ran" not in str(raised.value)
    assert names(elsewhere) == {"config.yaml"}


def test_the_checkpoint_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = FileNotFoundError(2, "no such file", "rows.jsonl")
    message = str(name_option(error, [("data.source.test", "rows.jsonl")], "/home/someone"))
    assert message == (
        f"rows.jsonl: no such file; it is the value of --data.source.test, relative to {tmp_path}. "
        f"The training ran in /home/someone"
    )
    assert name_option(error, [("data.source.test", "other.jsonl"), ("data.source.format", "jsonl")], None) is error
    folder = FileNotFoundError("my rows is no folder; name a folder written by save_to_disk")
    assert "--data.source.path" in str(name_option(folder, [("data.source.path", "my rows")], None))
    absolute = FileNotFoundError(2, "no such file", "/data/rows.jsonl")
    assert "relative" not in str(name_option(absolute, [("data.source.test", "/data/rows.jsonl")], "/home/someone"))


@pytest.mark.parametrize("directory", [3, "/home/\x1b[31m", None])
def test_a_checkpoint_of_others_prints_nothing_but_a_path(directory, project, elsewhere):
    path = project / "runs" / "version_3" / "checkpoints" / "best.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"seqkit_trained_in": directory}, path)
    with pytest.raises(FileNotFoundError, match=r"rows\.jsonl") as raised:
        main(["test", f"--ckpt_path={path}", *QUICK, "--trainer.logger=false"])
    assert "training ran" not in str(raised.value)
