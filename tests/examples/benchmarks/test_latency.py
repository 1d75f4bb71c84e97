import json

import pytest


@pytest.fixture(scope="module")
def latency(load):
    return load("benchmarks/latency")


def test_all_contenders_give_the_same_and_are_timed(latency, tmp_path, capsys):
    file = tmp_path / "latency.json"
    record = latency.main(["--repeats", "1", "--units", "8", "--prefixes", "5", "--output", str(file)])
    assert json.loads(file.read_text()) == record
    assert [row["sequences"] for row in record["rows"]] == [1, 16]
    for row in record["rows"]:
        assert len(row["milliseconds"]) == 4
        assert all(value > 0 for value in row["milliseconds"].values())
    assert "8 units, 16 sequences, prefix 5" in capsys.readouterr().out


def test_other_numbers_are_not_timed(latency, monkeypatch):
    monkeypatch.setattr(latency.ByHand, "push", lambda self, steps: [0.0] * len(steps))
    with pytest.raises(SystemExit, match="gives other numbers"):
        latency.measure(8, 1, 2, 4, 1)
