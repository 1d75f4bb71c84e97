import json
import shlex
from types import SimpleNamespace

import pytest

HERE = {"commit": "0123456789", "machine": "a CPU", "instruction set": "AVX2", "threads": 2}


@pytest.fixture
def run_all(load, monkeypatch, tmp_path):
    """Three benchmarks that write their setting; "crf" fails."""
    module = load("benchmarks/run_all")
    (tmp_path / "results").mkdir()
    module.called = []

    def run(words, **_):
        if "--output" not in words:
            return SimpleNamespace(returncode=0)
        module.called.append(words)
        if "crf" in words[1]:
            return SimpleNamespace(returncode=1)
        (tmp_path / "results" / words[-1].split("/")[-1]).write_text(json.dumps(HERE))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "setting", lambda: dict(HERE))
    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module, "BENCHMARKS", [b for b in module.BENCHMARKS if b.name in ("cost", "crf", "parts")])
    return module


def names(run_all):
    return [words[-1].split("/")[-1].removesuffix(".json") for words in run_all.called]


def test_failures_do_not_stop_the_others(run_all, capsys):
    assert run_all.main(["data"]) == 1
    assert names(run_all) == ["cost", "crf", "parts"]
    assert run_all.called[2][2:] == ["data", "--output", str(run_all.HERE / "results" / "parts.json")]
    assert capsys.readouterr().out.splitlines()[-1] == "failed: crf"


def test_what_is_measured_is_left_out(run_all):
    run_all.main(["data"])
    run_all.called.clear()
    run_all.main(["data"])
    assert names(run_all) == ["crf"]
    run_all.called.clear()
    run_all.main(["data", "--again", "--only", "c*"])
    assert names(run_all) == ["cost", "crf"]


@pytest.mark.parametrize("change", [{"commit": "9876543210"}, {"machine": "another"}])
def test_results_of_other_code_or_machines_are_measured_again(run_all, monkeypatch, change):
    run_all.main(["data", "--only", "cost"])
    monkeypatch.setattr(run_all, "setting", lambda: HERE | change)
    run_all.main(["data", "--only", "cost"])
    assert names(run_all) == ["cost", "cost"]


def test_changed_code_is_measured_again(run_all, monkeypatch):
    changed = HERE | {"commit": "0123456789 + changes"}
    (run_all.HERE / "results" / "cost.json").write_text(json.dumps(changed))
    monkeypatch.setattr(run_all, "setting", lambda: changed)
    run_all.main(["data", "--only", "cost"])
    assert names(run_all) == ["cost"]


def test_limits(run_all, capsys):
    assert run_all.main(["data", "--only", "cost", "parts", "--minutes", "1.2"]) == 0
    assert names(run_all) == ["cost"]
    assert "not started, for lack of time: parts" in capsys.readouterr().out
    run_all.called.clear()
    assert run_all.main(["data", "--list"]) == 0
    assert not run_all.called
    with pytest.raises(SystemExit):
        run_all.main(["data", "--only", "nothing"])
    assert "--only nothing: no such benchmark; there are cost, crf, parts" in capsys.readouterr().err


def test_every_result_has_a_benchmark(load):
    module = load("benchmarks/run_all")
    results = {file.stem for file in (module.HERE / "results").glob("*.json")}
    assert results <= {benchmark.name for benchmark in module.BENCHMARKS}
    scripts = {shlex.split(benchmark.command)[0] for benchmark in module.BENCHMARKS}
    assert all((module.HERE / script).is_file() for script in scripts)
