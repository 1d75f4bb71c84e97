import json

import numpy as np
import pytest
import torch

from seqkit import kernels


@pytest.fixture
def measuring(load):
    return load("benchmarks/measuring")


@pytest.mark.parametrize("order", [None, np.random.default_rng(0)])
def test_functions_take_turns(measuring, order):
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = measuring.in_turns(functions, 4, warm_up=2, order=order)
    assert [sorted(calls[start : start + 3]) for start in range(0, 18, 3)] == [list("abc")] * 6
    assert {name: len(values) for name, values in times.items()} == {"a": 4, "b": 4, "c": 4}
    assert (calls == list("abc") * 6) == (order is None)


def test_setting_names_installed_packages_only(measuring, tmp_path):
    setting = measuring.setting("numpy", "no-such-package")
    assert setting["versions"]["numpy"] == np.__version__
    assert "no-such-package" not in setting["versions"]
    measuring.write_json(tmp_path / "setting.json", setting)
    assert json.loads((tmp_path / "setting.json").read_text()) == setting
    measuring.write_json(None, setting)


def test_setting_describes_the_machine_and_the_code(measuring, monkeypatch, tmp_path):
    setting = measuring.setting()
    assert setting["threads"] == torch.get_num_threads()
    assert setting["kernels"] in kernels.available()
    assert setting["versions"].keys() == {"python", "torch", "lightning"}
    assert setting["cores"] is None or 1 <= setting["cores"] <= setting["CPUs"]
    assert setting["machine"]
    assert setting["instruction set"]


def test_commit_of_the_code(measuring, monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "ROOT", tmp_path)
    assert measuring.code_commit() is None
    answers = {"log": "0123456789", "status": ""}
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(measuring, "_git", lambda verb, *_: answers[verb])
    assert measuring.code_commit() == "0123456789"
    answers["status"] = " M seqkit/batch.py"
    assert measuring.code_commit() == "0123456789 + changes"


def test_find_looks_into_subfolders(measuring, tmp_path):
    (tmp_path / "ud").mkdir()
    for name in ("ud/train.conllu.gz", "dev.conllu"):
        (tmp_path / name).touch()
    assert measuring.find(tmp_path, "train.conllu") == tmp_path / "ud" / "train.conllu.gz"
    assert measuring.find(tmp_path, "dev.conllu") == tmp_path / "dev.conllu"
    with pytest.raises(FileNotFoundError, match=r"neither test\.conllu nor test\.conllu\.gz in"):
        measuring.find(tmp_path, "test.conllu")
