"""The examples that train run and learn."""

import re

import pytest


def accuracy_of(output: str) -> float:
    found = re.search(r"test_accuracy\s+│\s+([\d.]+)", output)
    assert found, output
    return float(found[1])


def test_quickstart(load, capsys):
    load("quickstart").main(["--rows", "400", "--epochs", "4"])
    assert accuracy_of(capsys.readouterr().out) > 0.8  # a tag for each word alone: 0.69


def test_huggingface_fit_on_generated_rows(load, capsys):
    load("huggingface_fit").main(["--rows", "200"])
    assert accuracy_of(capsys.readouterr().out) > 0.9  # always "O": 0.69


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_huggingface_fit_by_path(load, tmp_path, capsys, form):
    example = load("huggingface_fit")
    made = example.small_ner(200)
    path = tmp_path / ("saved" if form == "folder" else "train.parquet")
    if form == "folder":
        made.save_to_disk(path)
    else:
        made["train"].to_parquet(path)
    example.main([str(path), "--epochs", "1"])
    output = capsys.readouterr().out
    assert ("test_accuracy" in output) == (form == "folder")  # the file has a training split only


def test_plain_torch_loop(load, capsys):
    load("plain_torch_loop").main(["--rows", "500", "--epochs", "6"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert float(lines[-1].split()[-1]) > 0.9  # always "no record": 0.80
