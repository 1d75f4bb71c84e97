import gzip
import re

import numpy as np
import pytest

from seqkit.data.sources import CMAPSS


def engine(unit, cycles, first=1):
    return "".join(
        f"{unit} {cycle} " + " ".join(f"{unit}.{channel:02}" for channel in range(24)) + "  \n"
        for cycle in range(first, first + cycles)
    )


def test_training_engines_count_down_to_zero(tmp_path):
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress((engine(1, 5) + engine(2, 2)).encode()))
    rows = CMAPSS(str(tmp_path / "train.txt.gz"), cap=3).load()["train"]
    assert rows["unit"][:] == [1, 2]
    assert rows["rul"][:] == [[3, 3, 2, 1, 0], [1, 0]]
    np.testing.assert_allclose(rows["channels"][1], 2 * [[2 + channel / 100 for channel in range(24)]], rtol=1e-6)


def test_test_engines_count_down_to_their_remaining_life(tmp_path):
    (tmp_path / "test.txt").write_text(engine(1, 2) + engine(2, 3))
    (tmp_path / "rul.txt").write_text("10 \n124 \n\n")
    test, rul = str(tmp_path / "test.txt"), str(tmp_path / "rul.txt")
    assert CMAPSS(test=test, rul=rul).load()["test"]["rul"][:] == [[11, 10], [125, 125, 124]]
    assert CMAPSS(test=test, rul=rul, cap=None).load()["test"]["rul"][:] == [[11, 10], [126, 125, 124]]
    assert CMAPSS(test=test).load()["test"].column_names == ["unit", "channels"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (engine(1, 2) + "1 3 0.1\n", "train.txt:3: 3 columns, expected 26; is the file truncated here?"),
        (
            engine(1, 2) + engine(1, 1, first=4),
            "train.txt:3: engine 1 has cycle 4, expected 3; lines are missing",
        ),
        (engine(1, 2).replace("1.23", "high"), "train.txt:1: could not convert string to float: 'high'"),
        ("\n", "train.txt: no engine in this file"),
    ],
)
def test_broken_file(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        CMAPSS(str(tmp_path / "train.txt")).load()


def test_remaining_lives_for_other_engines(tmp_path):
    (tmp_path / "test.txt").write_text(engine(1, 2))
    (tmp_path / "rul.txt").write_text("1\n2\n")
    with pytest.raises(
        ValueError, match=r"rul\.txt: 2 remaining lives for 1 engines; use the file of the same set"
    ):
        CMAPSS(test=str(tmp_path / "test.txt"), rul=str(tmp_path / "rul.txt")).load()


@pytest.mark.data
def test_fd001(data_dir):
    folder = data_dir / "cmapss"
    files = ("train_FD001.txt.gz", "test_FD001.txt.gz", "RUL_FD001.txt")
    splits = CMAPSS(*(f"{folder}/{name}" for name in files)).load()
    lengths = [len(rul) for rul in splits["train"]["rul"]]
    assert (len(lengths), min(lengths), max(lengths), sum(lengths)) == (100, 128, 362, 20_631)
    assert all(rul[0] == 125 and rul[-1] == 0 for rul in splits["train"]["rul"])
    assert len(splits["test"]) == 100
    assert [rul[-1] for rul in splits["test"]["rul"]][:3] == [112, 98, 69]
