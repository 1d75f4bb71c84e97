import re

import numpy as np


def engines(count, seed):
    """Engines in the format of C-MAPSS, whose channels oscillate: they cannot be forecast by their last value."""
    random = np.random.default_rng(seed)
    lines = []
    for unit in range(1, count + 1):
        phase = random.uniform(0, 6)
        for cycle in range(1, int(random.integers(50, 70))):
            values = 40 + np.sin(1.5 * cycle + phase + np.arange(24))
            lines.append(f"{unit} {cycle} " + " ".join(f"{value:.3f}" for value in values))
    return "\n".join(lines) + "\n"


def test_forecast(load, tmp_path, capsys):
    train, test = tmp_path / "train_FD001.txt", tmp_path / "test_FD001.txt"
    train.write_text(engines(10, 0))
    test.write_text(engines(6, 1))
    load("tutorials/forecast").main(
        [str(train), str(test), "--epochs", "6", "--output", str(tmp_path / "pictures")]
    )
    output = capsys.readouterr().out
    assert "test: 6 engines, " in output
    found = dict(re.findall(r"^(\w[\w ]+?) +((?:[\d.]+ *){4})$", output, flags=re.MULTILINE))
    assert found.pop("cycles ahead").split() == ["1", "2", "5", "10"]
    errors = {name: [float(value) for value in values.split()] for name, values in found.items()}
    assert list(errors) == ["model", "last value", "mean of last 10"]
    assert errors["model"][0] < 0.7 * errors["last value"][0]
    assert re.search(r"^cycle 50: pressure [\d.]+, in 10 cycles [\d.]+$", output, flags=re.MULTILINE)
    assert "as from the whole series at once: True" in output
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"errors.png", "live.png"}


def test_cut(load):
    example = load("tutorials/forecast")
    series = [np.arange(length * 2.0).reshape(length, 2) for length in (40, 41, 55)]
    known, following = example.cut(series)
    assert [len(cycles) for cycles in known] == [30, 30, 40]
    assert following.shape == (3, 10, 2)
    assert (following[:, 0] == [cycles[-1] + 2 for cycles in known]).all()
