import re
from types import SimpleNamespace

SENTENCES = [
    "Ann/B-person Lee/I-person saw/O Oslo/B-location",
    "Bob/B-person ran/O",
    "New/B-location York/I-location saw/O Bob/B-person Lee/I-person ran/O",
] * 6


def conll(sentences):
    return "\n".join(
        "".join("\t".join(pair.split("/")) + "\n" for pair in sentence.split()) for sentence in sentences
    )


def test_named_entities(load, tmp_path, capsys):
    files = [tmp_path / name for name in ("train.conll", "dev.conll", "test.conll")]
    for file in files:
        file.write_text(conll(SENTENCES))
    load("tutorials/named_entities").main(
        [*map(str, files), "--epochs", "8", "--output", str(tmp_path / "pictures")]
    )
    output = capsys.readouterr().out
    assert "Ann/B-person Lee/I-person saw/O Oslo/B-location" in output
    assert "18 training sentences with 30 spans: {'person': 18, 'location': 12}" in output
    counts = re.findall(r"^forbidden tags in the test predictions: (\d+)$", output, flags=re.MULTILINE)
    assert len(counts) == 2
    assert counts[1] == "0"
    assert float(re.search(r"test_span_f1\s+│\s+([\d.]+)", output)[1]) > 0.9
    assert "\nAda Lovelace flies from London to New York .\n" in output
    assert {path.name for path in (tmp_path / "pictures").glob("*.png")} == {"test_tags.png", "transitions.png"}


def test_forbidden_tags(load):
    rows = [["I-x", "O", "B-x", "I-x", "I-y", "I-y"], ["B-x", "B-y", "I-x"], ["O"]]
    model = SimpleNamespace(predict=lambda given: [{"tags": tags} for tags in given])
    assert load("tutorials/named_entities").forbidden_tags(model, rows) == 3
