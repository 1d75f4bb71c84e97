import json

import pytest

WORDS = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "sat": "VERB", "ran": "VERB", "here": "ADV"}


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 40), ("dev", 12), ("test", 12)):
        lines = []
        for i in range(count):
            chosen = [list(WORDS)[(i * j + j) % len(WORDS)] for j in range(1 + i % 9)]
            lines += ["\t".join([str(j), word, "_", WORDS[word], *["_"] * 6]) for j, word in enumerate(chosen, 1)]
            lines.append("")
        (tmp_path / f"en_ewt-ud-{split}.conllu").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_all_contenders_give_the_same_labels_and_are_timed(folder, load, capsys):
    benchmark = load("benchmarks/predict")
    report = benchmark.main([str(folder), "--rounds", "1", "--limit", "8", "--output", str(folder / "found.json")])
    assert report["rows"] == 16
    assert {len(rates) for rates in report["results"].values()} == {3, 5}
    assert all(rate > 0 for rates in report["results"].values() for rate in rates.values())
    assert json.loads((folder / "found.json").read_text()) == report
    assert "relative to the bare model" in capsys.readouterr().out
