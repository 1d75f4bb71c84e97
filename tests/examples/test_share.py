from seqkit import Classifier


def test_saves_loads_and_predicts(load, tmp_path, capsys):
    load("share").main(["--folder", str(tmp_path / "reviews")])
    printed = capsys.readouterr().out
    assert "# reviews" in printed
    assert "| accuracy | 1.0000 |" in printed
    assert "so good: good\na very bad film: bad\n" in printed
    assert Classifier.from_pretrained(tmp_path / "reviews").spec["targets"]["label"]["names"] == ["bad", "good"]
