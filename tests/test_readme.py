"""The README's code is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset

from seqkit.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("seeded")
def test_ten_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = fenced("python")[0]
    assert "trainer.test" in script
    names = {}
    exec(compile(script, "README.md", "exec"), names)
    assert float(names["trainer"].logged_metrics["test_accuracy"]) > 0.9


PARTS = [script for script in fenced("python") if "lightning" not in script]
TASKS = [script for script in fenced("python")[1:] if "lightning" in script]


@pytest.mark.parametrize("script", PARTS, ids=["collate", "sampler", "layers", "swap"])
def test_parts_alone(script):
    exec(compile(script, "README.md", "exec"), {})


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("script", TASKS, ids=["characters", "language"])
def test_tasks(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(script, "README.md", "exec"), names)
    if "generate" in script:
        told = names["model"].generate(["to be", "that"], max_tokens=20, temperature=0.5, top_k=5, seed=0)
        assert told[0].startswith("to be")
        assert told[1].startswith("that is the")
    else:
        assert float(names["trainer"].callback_metrics["train_loss"]) < 0.5


def test_parts_alone_do_without_lightning():
    program = "\n".join([*PARTS, "import sys", "assert 'lightning' not in sys.modules"])
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# Calls of Lightning and of the CLI that the pinned jsonargparse deprecates.
@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (config,) = fenced("yaml")
    assert set(yaml.safe_load(config)) == {"model", "data", "trainer"}
    Path("tagger.yaml").write_text(config)
    rows = {"words": [["the", "cat", "sat"], ["cats", "sit"]] * 300}
    rows["tags"] = [["DET", "NOUN", "VERB"], ["NOUN", "VERB"]] * 300
    Dataset.from_dict(rows).to_parquet("rows.parquet")
    cli = main(["fit", "--config", "tagger.yaml", "--trainer.enable_progress_bar", "false"])
    assert float(cli.trainer.callback_metrics["val_accuracy"]) > 0.9


def test_files_named_exist():
    names = re.findall(r"(?:configs|examples|docs|seqkit)/[\w/]+\.\w+", README)
    assert names
    missing = [name for name in names if not (ROOT / name).is_file()]
    assert not missing
