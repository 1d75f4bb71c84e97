"""The README: its code runs, its config trains, and it is short. Its commands and links: `tests/docs`."""

import ast

import pytest

from seqkit.cli import main
from tests.docs.pages import DEPRECATED, README, blocks, execute, read, write_readme_files

PYTHON = [block for block in blocks(README) if block.language == "python"]
PARTS = [block.code for block in PYTHON[2:]]


def test_ten_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines, prediction = PYTHON[:2]
    assert "trainer.test" in lines.code
    names = execute(README, [lines])
    assert float(names["trainer"].logged_metrics["test_accuracy"]) > 0.9
    call, _, expected = prediction.code.strip().partition("  # ")
    assert eval(call, names) == ast.literal_eval(expected)


@pytest.mark.parametrize("block", PYTHON[2:], ids=["batches", "layers"])
def test_parts_alone(block):
    execute(README, [block])


@DEPRECATED
def test_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(write_readme_files(tmp_path)) == {"model", "data", "trainer"}
    cli = main(["fit", "--config", "tagger.yaml", "--trainer.enable_progress_bar", "false"])
    assert float(cli.trainer.callback_metrics["val_accuracy"]) > 0.9


def test_the_readme_is_short():
    assert read(README).count("\n") <= 205
