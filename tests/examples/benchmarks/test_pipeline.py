import json

import pytest

WORDS = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "sat": "VERB", "ran": "VERB", "here": "ADV"}


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 80), ("dev", 20)):
        lines = []
        for i in range(count):
            chosen = [list(WORDS)[(i * j + j) % len(WORDS)] for j in range(1 + i % 9)]
            lines += ["\t".join([str(j), word, "_", WORDS[word], *["_"] * 6]) for j, word in enumerate(chosen, 1)]
            lines.append("")
        (tmp_path / f"en_ewt-ud-{split}.conllu").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def pipeline(load):
    return load("benchmarks/pipeline")


def test_all_contenders_compute_the_same_and_are_timed(folder, pipeline, capsys):
    report = pipeline.main([str(folder), "--rounds", "1", "--output", str(folder / "speed.json")])
    assert report["largest difference of logits"] < 1e-5
    assert all(len(values) == 1 and values[0] > 0 for values in report["results"].values())
    assert json.loads((folder / "speed.json").read_text()) == report
    assert "speed relative to packed" in capsys.readouterr().out


def test_accuracy_over_seeds(folder, pipeline):
    report = pipeline.main([str(folder), "--accuracy", "--epochs", "2", "--seeds", "0", "1"])
    assert all(len(values) == 2 and values[0] > 50 for values in report["results"].values())


def test_the_parts_of_a_fit_are_printed_alone(folder, load, capsys, caplog):
    with caplog.at_level("INFO"):
        report = load("benchmarks/parts").main([str(folder), "--rounds", "1"])
    assert sum(report["seconds"].values()) > 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line[:22].strip() for line in lines[1:-1]] == list(report["seconds"])
    assert (printed.err, caplog.messages) == ("", [])  # nothing of Lightning's
