"""The examples of streams run, learn, and give what whole rows give."""

import re

import pytest


def test_live_engine(load, capsys):
    example = load("live_engine")
    example.main(["--rows", "30", "--epochs", "10"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("engine 1, cycle 1: ")
    assert lines[0].count("engine") == 4
    assert any("engine 8" in line for line in lines)
    error = re.fullmatch(r"mean absolute error: ([\d.]+) cycles", lines[-1])
    assert float(error[1]) < 12  # always the mean: 16


def test_an_engine_that_takes_the_place_of_another_has_its_own_state(load):
    example = load("live_engine")
    model, rows = example.train(4, 1), example.wearing(6, seed=2)
    found = {}
    for readings in example.watch(model, rows["channels"][:]):
        for engine, cycle, remaining in readings:
            found.setdefault(engine, []).append(remaining)
            assert len(found[engine]) == cycle
    for engine, channels in enumerate(rows["channels"]):
        assert found[engine] == pytest.approx(model.stream().push(channels)["rul"], rel=1e-5, abs=1e-4)


def test_live_engine_needs_both_files(load, capsys):
    with pytest.raises(SystemExit):
        load("live_engine").main(["--engines", "test_FD001.txt"])
    assert "give both --checkpoint and --engines, or neither" in capsys.readouterr().err


def test_live_keyboard(load, capsys):
    load("live_keyboard").main(["--rows", "150", "--epochs", "6"])
    *keys, last = capsys.readouterr().out.splitlines()
    hits, count = map(int, re.findall(r"\d+", last)[:2])
    assert count == len(keys) > 20
    assert hits > 0.6 * count


def test_live_keyboard_learns_a_text(load, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("abcabcabc\n\n" * 40)
    load("live_keyboard").main(["--text", str(text), "--type", "abcabc", "--epochs", "8"])
    assert int(capsys.readouterr().out.splitlines()[-1].split()[0]) >= 5
