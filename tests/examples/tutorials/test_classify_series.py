import re

import numpy as np

HEADER = "@problemName made\n@timeStamps false\n@univariate false\n@dimensions 4\n@classLabel true 1 2 3\n@data\n"


def series(count, seed):
    """Series of 4 channels in the format .ts; the channels of each label have another level."""
    random = np.random.default_rng(seed)
    lines = []
    for row in range(count):
        label = 1 + row % 3
        values = random.normal(3 * label, 0.5, (4, random.integers(3, 9)))
        lines.append(":".join(",".join(f"{value:.3f}" for value in channel) for channel in values) + f":{label}")
    return HEADER + "\n".join(lines) + "\n"


def test_classify_series(load, tmp_path, capsys):
    train, test = tmp_path / "made_TRAIN.ts", tmp_path / "made_TEST.ts"
    train.write_text(series(96, 0))
    test.write_text(series(18, 1))
    load("tutorials/classify_series").main(
        [str(train), str(test), "--epochs", "3", "--output", str(tmp_path / "pictures")]
    )
    output = capsys.readouterr().out
    assert re.search(r"train: 96 series of 3 to 8 steps", output)
    assert len(re.findall(r"^channel \d: mean +[\d.-]+, deviation [\d.]+$", output, flags=re.MULTILINE)) == 3
    pooled = re.findall(r"^(\w+Pool): test accuracy ([\d.]+)$", output, flags=re.MULTILINE)
    assert [name for name, _ in pooled] == ["MaxPool", "MeanPool", "AttentionPool"]
    assert all(float(accuracy) > 0.9 for _, accuracy in pooled)
    assert float(re.search(r"test_accuracy\s+│\s+([\d.]+)", output)[1]) > 0.9
    assert len(re.findall(r"^first +\d+ steps: test accuracy [\d.]+$", output, flags=re.MULTILINE)) == 6
    assert "first series: {'1': " in output
    drawn = {path.name for path in (tmp_path / "pictures").glob("*.png")}
    assert drawn == {"series.png", "test_label.png"}
