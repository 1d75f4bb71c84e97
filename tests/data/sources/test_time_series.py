import gzip
import re

import datasets
import numpy as np
import pytest

from seqkit.data.sources import TimeSeries

HEADER = """\
# A comment.
@problemName Toy
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
"""


def loaded(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return TimeSeries(str(path)).load()["train"]


@pytest.mark.parametrize("name", ["a.ts", "a.ts.gz"])
def test_reads_series_of_different_lengths(tmp_path, name):
    rows = loaded(tmp_path / name, HEADER + "1,2.5,?:3,-4e-1,5:up\n\n7:8:down\n")
    channels = datasets.List(datasets.Value("float32"), length=2)
    assert rows.features["series"] == datasets.List(channels)
    assert rows.features["label"] == datasets.ClassLabel(names=["up", "down"])
    np.testing.assert_array_equal(rows["series"][0], np.float32([[1, 3], [2.5, -0.4], [np.nan, 5]]))
    assert rows["series"][1] == [[7, 8]]
    assert rows["label"][:] == [0, 1]


def test_numeric_targets(tmp_path):
    rows = loaded(tmp_path / "a.ts", "@univariate true\n@targetlabel true\n@data\n1,2:0.5\n3,4:1\n")
    assert rows.features["label"] == datasets.Value("float32")
    assert rows[:] == {"series": [[[1], [2]], [[3], [4]]], "label": [0.5, 1]}


def test_without_labels_and_dimensions(tmp_path):
    rows = loaded(tmp_path / "a.ts", "@timeStamps false\n@data\n1:2:3\n")
    assert rows[:] == {"series": [[[1, 2, 3]]]}


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (
            "1,2:3:up",
            "a.ts:11: channel 1 has 1 values, channel 0 has 2; the channels of a series must have the same length",
        ),
        (
            "1,2:3,4:5,6:up",
            "a.ts:11: 3 channels, expected 2; channels (and the label after them) are separated by ':'",
        ),
        ("1,2:3,", "a.ts:11: 1 channels, expected 2;"),
        ("1,2:3,4:left", "a.ts:11: label 'left' is not declared by @classLabel (up down)"),
        ("1,2:3,4:", "a.ts:11: label '' is not declared by @classLabel (up down)"),
        ("1,2:3,x:up", "a.ts:11: expected a number, found 'x'"),
        ("1,2:3,:up", "a.ts:11: expected a number, found ''"),
    ],
)
def test_broken_series(tmp_path, series, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        loaded(tmp_path / "a.ts", f"{HEADER}1:2:up\n{series}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@univariate true\n", "a.ts: no line @data"),
        ("@univariate true\n@data\n", "a.ts: no series after @data"),
        ("@univariate true\n1,2\n", "a.ts:2: a header line begins with @ or #, not '1,2'"),
        ("@univariate maybe\n@data\n1\n", "a.ts:1: @univariate: expected true or false, found 'maybe'"),
        ("@timeStamps true\n@data\n(0,1)\n", "a.ts:1: @timeStamps: series with time stamps are not supported"),
        ("@dimensions many\n@data\n1\n", "a.ts:1: @dimensions: expected a whole number of at least 1"),
        (
            "@classLabel true\n@data\n1:a\n",
            "a.ts:1: @classLabel: true must be followed by the labels; none is given",
        ),
        ("@seriesLength 2\n@data\n1,2\n1\n", "a.ts:4: a series of length 1, but @seriesLength is 2"),
        ("@targetLabel true\n@data\n1,2:high\n", "a.ts:3: expected a number, found 'high'"),
    ],
)
def test_broken_header(tmp_path, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        loaded(tmp_path / "a.ts", text)


@pytest.mark.data
def test_japanese_vowels(data_dir):
    folder = data_dir / "japanese_vowels"
    splits = TimeSeries(*(f"{folder}/JapaneseVowels_{name}.ts" for name in ("TRAIN",)), test=None).load()
    splits |= TimeSeries(test=f"{folder}/JapaneseVowels_TEST.ts").load()
    lengths = {split: [len(series) for series in rows["series"]] for split, rows in splits.items()}
    assert {split: (len(own), min(own), max(own)) for split, own in lengths.items()} == {
        "train": (270, 7, 26),
        "test": (370, 7, 29),
    }
    assert sum(lengths["train"]) == 4274
    assert np.bincount(splits["train"]["label"][:]).tolist() == [30] * 9
    assert splits["train"]["series"][0][0][:2] == pytest.approx([1.860936, -0.207383])
