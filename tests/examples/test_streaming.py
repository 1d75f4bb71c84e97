import re
from pathlib import Path

from tests import processes

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_continues_from_the_middle_of_an_epoch(tmp_path):
    done = processes.run(EXAMPLES / "streaming.py", cwd=tmp_path)
    (_, first, loss), (epoch, last, later) = re.findall(r"epoch (\d), step (\d+), loss ([\d.]+)", done.stdout)
    assert first == "40" < last
    assert epoch == "2"
    assert float(later) < float(loss)
