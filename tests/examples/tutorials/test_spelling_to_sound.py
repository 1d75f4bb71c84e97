import re

import pytest

SOUNDS = {"a": "AA", "b": "B", "k": "K", "o": "OW", "s": "S", "t": "T", "x": "K S"}


def dictionary(count=260):
    """Words of a language in which each letter has its sound, and x two; some words may also end in Z."""
    letters = "abkostx"
    words = {"x", "xx"}
    for number in range(count):
        words.add("".join(letters[number // 7**place % 7] for place in range(2 + number % 4)))
    sounds = {word: " ".join(SOUNDS[letter] for letter in word) for word in sorted(words)}
    lines = [f"{word} {phones}" for word, phones in sounds.items()]
    lines += [f"{word}(2) {sounds[word]} Z" for word in list(sounds)[::10]]
    return "\n".join(lines) + "\n"


def test_spelling_to_sound(load, tmp_path, capsys):
    file = tmp_path / "cmudict.dict"
    file.write_text(dictionary())
    example = load("tutorials/spelling_to_sound")
    example.NEW_WORDS = ["box", "taxo"]
    example.main([str(file), "--epochs", "12", "--output", str(tmp_path / "pictures")])
    output = capsys.readouterr().out
    assert re.search(r"^train: \d+ words, validation: \d+ words, test: \d+ words$", output, flags=re.MULTILINE)
    lacking = re.findall(r"^(\d) for each letter: too few for (\d+) words", output, flags=re.MULTILINE)
    assert [int(factor) for factor, _ in lacking] == [1, 2, 3]
    assert int(lacking[0][1]) > 0
    assert int(lacking[1][1]) == 0
    greedy = float(re.search(r"test_label_error_rate\s+│\s+([\d.]+)", output)[1])
    beams = re.findall(r"beam of (\d): ([\d.]+)% of the phones and [\d.]+% of the words are wrong", output)
    assert [int(width) for width, _ in beams] == [2, 8]
    assert greedy < 0.8  # at first 1
    assert all(float(wrong) < 80 for _, wrong in beams)
    assert re.search(r"^box +[A-Z]+ [\d.]+", output, flags=re.MULTILINE)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["steps.png"]


@pytest.mark.parametrize(
    ("phones", "steps"), [("", 0), ("T", 1), ("K AE T", 3), ("B UH K K EY S", 7), ("A A A", 5)]
)
def test_steps_needed(load, phones, steps):
    assert load("tutorials/spelling_to_sound").steps_needed(phones.split()) == steps
