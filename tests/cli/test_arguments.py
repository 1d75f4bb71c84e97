from pathlib import Path

import pytest
import torch

from seqkit.cli import main
from seqkit.cli.arguments import check_files, check_seed

pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1, 2\nb: }{", r"config c.yaml is no YAML: while parsing"),
        (b"\xdd\x00\xff", r"config c.yaml is no YAML: 'utf-8' codec"),
        (b"", r"config c.yaml is empty; give keys and values"),
        (b"only text", r"config c.yaml holds a str; give keys and values"),
        (b"[1, 2]", r"config c.yaml holds a list; give keys and values"),
    ],
)
@pytest.mark.parametrize("option", [["--config", "c.yaml"], ["--config=c.yaml"], ["-c", "c.yaml"]])
def test_a_config_that_is_none(content, message, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        main(["fit", *option])
    assert [file.name for file in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize("command", ["fit", "sweep"])
def test_a_config_that_is_not_there(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").touch()
    for given, found in (("confg.yaml", "does not exist; did you mean 'config.yaml'?"), (".", "is no file")):
        with pytest.raises(ValueError, match=f"^--config={given} {found}".replace("?", r"\?")):
            main([command, "--config", given])


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--ckpt_path=gone.ckpt"],
            r"--ckpt_path=gone.ckpt does not exist; a fit writes runs/version_N/checkpoints",
        ),
        (["--ckpt_path", "gone.ckpt"], r"--ckpt_path=gone.ckpt does not exist"),
        (["--ckpt_path"], r"--ckpt_path names no file"),
        (["--ckpt_path="], r"--ckpt_path names no file"),
        (["--ckpt_path=."], r"--ckpt_path=. is a folder; name a file in it, such as best.ckpt"),
    ],
)
def test_a_checkpoint_that_is_not_there(command, option, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        main([command, *option])


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
@pytest.mark.parametrize("content", ["empty", "half", "noise", "text", "list", "dict", "lightning"])
def test_a_file_that_is_no_checkpoint(command, content, tmp_path, monkeypatch, trainer):
    from lightning.pytorch import LightningModule

    monkeypatch.chdir(tmp_path)
    path, whole = Path("x.ckpt"), Path(__file__).parents[1] / "saved_files" / "tagger.ckpt"
    match content:
        case "empty":
            path.touch()
        case "half":
            path.write_bytes(whole.read_bytes()[:3000])
        case "noise":
            path.write_bytes(bytes(range(7, 256)) * 4)
        case "text":
            path.write_text("hello\n")
        case "list":
            torch.save([1], path)
        case "dict":
            torch.save({"a": 1}, path)
        case "lightning":
            run = trainer()
            run.strategy.connect(LightningModule())
            run.save_checkpoint(path)
    with pytest.raises(ValueError, match=r"x.ckpt is damaged|no checkpoint of seqkit|holds no model of seqkit"):
        main([command, "--ckpt_path=x.ckpt"])


def test_names_that_lightning_resolves_and_folders_of_shards_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shards").mkdir()
    Path("shards", "meta.pt").touch()
    for path in ("best", "last", "hpc", "s3://bucket/model.ckpt", "registry:model", "null", "shards"):
        check_files(["fit", f"--ckpt_path={path}"])


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range(seed, folder):
    with pytest.raises(
        ValueError, match=f"--seed_everything={seed} is out of range; give a whole number from 0 to"
    ):
        main(["fit", "--config", "config.yaml", f"--seed_everything={seed}"])
    for allowed in (True, False, 0, 2**32 - 1):
        check_seed(allowed)


def test_no_inputs(folder):
    with pytest.raises(ValueError, match="inputs"):
        main(["fit", "--config", "config.yaml", "--data.inputs=[]"])
