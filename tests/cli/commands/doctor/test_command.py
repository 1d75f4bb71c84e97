import pytest
import torch

from seqkit.cli import main
from seqkit.cli.commands.doctor import command, doctor_command, environment, speed


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)


def test_says_what_is_here_and_that_results_and_speed_were_compared(capsys):
    findings = main(["doctor"])
    shown = capsys.readouterr().out
    names = [finding.name for finding in findings]
    assert names[:2] == ["seqkit", "Python"]
    assert {"threads", "kernels", "GPU", "plots", "onnx", "serve", "results", "speed"} <= set(names)
    assert f"torch {torch.__version__}" in shown
    assert "values and gradients equal those of torch.nn (LSTM" in shown
    assert "times torch packed and" in shown
    assert all(finding.text in shown for finding in findings)


def test_wrong_results_are_said_and_end_with_status_1(monkeypatch, capsys):
    monkeypatch.setattr(command, "largest_differences", lambda _: {"LSTM": 2e-7, "GRU": 0.1, "RNN": float("nan")})
    with pytest.raises(SystemExit) as ended:
        doctor_command([])
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "WRONG: largest relative differences from torch.nn in float64: LSTM 2e-07, GRU 1e-01, RNN nan" in shown
    assert "- results: do not use GRU, RNN of seqkit.nn here" in shown


def test_lists_what_to_do_at_the_end(monkeypatch, capsys):
    monkeypatch.setattr(environment, "_cpus", lambda: 0)
    doctor_command([])
    *_, last = capsys.readouterr().out.partition("To do:")
    assert f"- threads: torch uses {torch.get_num_threads()} threads on 0 CPUs" in last


def test_takes_no_options():
    with pytest.raises(ValueError, match=r"doctor has no option --fast; python -m seqkit doctor --help"):
        doctor_command(["--fast"])
