import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_continues_from_the_middle_of_an_epoch(tmp_path):
    command = [sys.executable, str(EXAMPLES / "streaming.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (_, first, loss), (epoch, last, later) = re.findall(r"epoch (\d), step (\d+), loss ([\d.]+)", done.stdout)
    assert first == "40" < last
    assert epoch == "2"
    assert float(later) < float(loss)
