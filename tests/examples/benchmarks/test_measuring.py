import json

import numpy as np
import pytest


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


def test_table(measuring):
    assert measuring.table(["", "n"], [["a", "1"]]) == "|  | n |\n| --- | ---: |\n| a | 1 |"
