import re
from pathlib import Path

import pytest

from tests import processes

EXAMPLES = Path(__file__).parents[2] / "examples"


def check(output, devices):
    """Every epoch has equal steps on all devices, reads every row once, and learns."""
    lines = re.findall(r"^epoch (\d): steps \[(.*)\], tokens \[(.*)\], validation loss ([\d.]+)$", output, re.M)
    assert len(lines) == 3, output
    for _, steps, tokens, _ in lines:
        steps, tokens = ([int(number) for number in each.split(", ")] for each in (steps, tokens))
        assert len(steps) == len(tokens) == devices
        assert len(set(steps)) == 1
        assert max(tokens) - min(tokens) < 0.1 * max(tokens)
    assert output.count("every row once: True") == 3
    assert float(lines[2][3]) < float(lines[0][3])


def test_one_process(load, capsys):
    load("many_devices").main(["--rows", "200", "--accelerator", "cpu"])
    check(capsys.readouterr().out, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("loopback")
def test_two_processes(tmp_path):
    options = ["--rows", "200", "--accelerator", "cpu", "--devices", "2"]
    done = processes.run(EXAMPLES / "many_devices.py", *options, ranks=2, cwd=tmp_path)
    check(done.stdout, 2)
