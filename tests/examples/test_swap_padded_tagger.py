"""The example of a model swapped in place: it prints the same outputs and a figure."""

import importlib.util
import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "examples" / "swap_padded_tagger.py"


def test_it_swaps_compares_and_times(capsys):
    spec = importlib.util.spec_from_file_location("swap_padded_tagger", FILE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(["--hidden-size", "8", "--sentences", "5", "--longest", "9", "--repeats", "1"])
    output = capsys.readouterr().out
    assert "swapped: lstm" in output
    assert re.search(r"one training step: [\d.]+ ms, swapped [\d.]+ ms: [\d.]+ times", output)
