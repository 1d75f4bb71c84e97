import re


def test_it_swaps_compares_and_times(load, capsys):
    load("swap_padded_tagger").main(["--hidden-size", "8", "--sentences", "5", "--longest", "9", "--repeats", "1"])
    output = capsys.readouterr().out
    assert "swapped: lstm" in output
    assert re.search(r"one training step: [\d.]+ ms, swapped [\d.]+ ms: [\d.]+ times", output)
