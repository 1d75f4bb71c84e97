"""The examples of streams run, learn, and give what whole rows give."""

import re
from functools import partial

import pytest

from seqkit import Regressor, SequenceDataModule
from seqkit.data import CMAPSS
from seqkit.nn import GRU


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


def test_live_engine_reads_a_checkpoint_and_engines_of_cmapss(load, tmp_path, trainer, capsys):
    file, checkpoint = tmp_path / "engines.txt", tmp_path / "best.ckpt"
    lines = [
        f"{unit} {cycle} " + " ".join(f"{unit * cycle * k % 7 + k}" for k in range(24))
        for unit in range(1, 7)
        for cycle in range(1, 24 + unit)
    ]
    file.write_text("\n".join(lines) + "\n")
    data = SequenceDataModule(
        CMAPSS(train=str(file)), inputs="channels", targets="rul", max_tokens=64, validation_fraction=0
    )
    fit = trainer(max_epochs=1, limit_val_batches=0)
    fit.fit(Regressor(data.spec, encoder=partial(GRU, hidden_size=4), causal=True), data)
    fit.save_checkpoint(checkpoint)
    load("live_engine").main(["--checkpoint", str(checkpoint), "--engines", str(file)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("engine 1, cycle 1: ")
    assert "engine 1, cycle 21: " in lines[1]
    assert any("engine 6" in line for line in lines)
    assert not any("error" in line for line in lines)  # test engines have no remaining life in the file
    (tmp_path / "rul.txt").write_text("9\n" * 6)
    files = ["--engines", str(file), "--rul", str(tmp_path / "rul.txt")]
    load("live_engine").main(["--checkpoint", str(checkpoint), *files])
    assert re.fullmatch(r"mean absolute error: [\d.]+ cycles", capsys.readouterr().out.splitlines()[-1])


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
