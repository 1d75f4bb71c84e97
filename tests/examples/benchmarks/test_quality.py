import json

import pytest

RESULT = {
    "options": ["--config", "elsewhere"],
    "seeds": [3],
    "monitor": "val_accuracy",
    "scores": {"test_accuracy": [0.9], "fit_seconds": [60.0], "tokens/s": [1000.0]},
    "parameters": 7,
    "threads": 2,
    "machine": "unknown",
}


@pytest.fixture
def quality(load, monkeypatch):
    module = load("benchmarks/quality")
    monkeypatch.setattr(
        module, "seqkit", lambda words: module.__dict__.setdefault("called", words) and dict(RESULT)
    )
    return module


def test_results_hold_scores_setting_and_no_folder(quality, tmp_path):
    (tmp_path / "vowels").mkdir()
    for split in ("TRAIN", "TEST"):
        (tmp_path / "vowels" / f"JapaneseVowels_{split}.ts").touch()
    output = tmp_path / "quality.json"
    found = quality.main([str(tmp_path), "japanese_vowels", "--seeds", "3", "--output", str(output)])
    assert json.loads(output.read_text()) == found
    assert quality.called[:4] == ["sweep", "--seeds", "3", "--test"]
    assert str(tmp_path / "vowels" / "JapaneseVowels_TEST.ts") in quality.called
    assert found["options"] == [
        *("--config", "configs/japanese_vowels.yaml"),
        *("--data.source.init_args.train", "DIR/JapaneseVowels_TRAIN.ts"),
        *("--data.source.init_args.test", "DIR/JapaneseVowels_TEST.ts"),
    ]
    assert str(tmp_path) not in output.read_text()
    assert found["scores"] == RESULT["scores"]
    assert found["threads"] == 2
    assert found["machine"] != "unknown"
    assert found["commit"] is None or found["commit"]


def test_a_config_without_a_test_split(quality, tmp_path):
    quality.main([str(tmp_path), "highlight"])
    assert "--test" not in quality.called


def test_every_config_of_the_table_can_be_measured(load, quality):
    sections = load("benchmarks/report").SECTIONS
    scores = sections["quality"].__globals__["SCORES"]
    assert list(scores) == list(sections["quality"].__globals__["ALL"])
    assert scores.keys() == quality.FILES.keys()
    assert all((quality.ROOT / "configs" / f"{config}.yaml").is_file() for config in scores)
