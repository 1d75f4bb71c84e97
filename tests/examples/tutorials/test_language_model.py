import re

import pytest


def test_language_model(load, tmp_path, capsys):
    text = tmp_path / "input.txt"
    text.write_text("To be or not to be.\nThat is the question!\n" * 100)
    load("tutorials/language_model").main(
        [str(text), "--epochs", "12", "--prompt", "To be", "--output", str(tmp_path / "pictures")]
    )
    output = capsys.readouterr().out
    assert "train: 3,780 characters, " in output
    found = {name: float(re.search(rf"{name}: ([\d.]+)", output)[1]) for name in ("each character", "by xz")}
    assert 3 < found["each character"] < 5
    assert found["by xz"] < found["each character"]
    bits = float(re.search(r"test_bits_per_character\s+│\s+([\d.]+)", output)[1])
    assert bits < found["each character"]
    assert re.findall(r"^--- temperature ([\d.]+)\nTo be", output, flags=re.MULTILINE) == ["0.3", "0.8", "1.5"]
    scores = re.findall(r"^[\d.]+ bits per character: (.+)$", output, flags=re.MULTILINE)
    assert scores[-1] == "See you at five!"
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["bits.png"]


def test_bits_by_frequency(load):
    example = load("tutorials/language_model")
    assert example.bits_by_frequency("aabb", "ab") == pytest.approx(1)
    assert example.bits_by_frequency("aab", "c") == pytest.approx(2)  # a new character counts once
    assert example.bits([5.0, 0.6931472, 0.6931472]) == pytest.approx(1)
