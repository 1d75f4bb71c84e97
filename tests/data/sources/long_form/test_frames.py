import pickle
import re

import numpy as np
import polars
import pytest

from seqkit import SequenceDataModule
from seqkit.data import Frames
from seqkit.data.rows.checks import RowError
from tests.data.sources.long_form.cases import READINGS, SEQUENCES, frame

LONG = {"group": "machine", "order": "hour", "per_sequence": ["model"]}


def test_splits():
    source = Frames(frame(), test=polars.DataFrame(READINGS), **LONG)
    splits = source.load()
    assert list(splits) == ["train", "test"]
    assert list(splits["train"]) == list(splits["test"]) == SEQUENCES
    assert list(Frames(validation=READINGS).load()["validation"]) == [
        dict(zip(READINGS, row, strict=True)) for row in zip(*READINGS.values(), strict=True)
    ]
    assert list(source.stream()["train"]) == SEQUENCES


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        ({}, ValueError, "no table given: give at least one of train, validation and test"),
        ({"train": 3}, TypeError, "an object of type int has no rows to load"),
        (
            {"train": frame(), "test": [{"a": 1}, {"a": "x"}]},
            RowError,
            "test row 1 (column 'a'): 'x' (str), but row 0",
        ),
    ],
)
def test_what_is_no_table(splits, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Frames(**splits, **LONG)


def test_errors_name_the_split_and_the_row_of_the_table():
    source = Frames(frame(), validation=frame(hour=[1] * 6), **LONG)
    with pytest.raises(RowError, match=r"validation row 2 \(column 'hour'\): machine='b' has 1 in row 0, too"):
        source.load()


def test_later_errors_name_the_group():
    bad = frame(heat=[0.5, 1.5, 2.5, 3.5, np.nan, 5.5])
    data = SequenceDataModule(Frames(bad, **LONG), "heat", "state", max_tokens=9, validation_fraction=0)
    with pytest.raises(RowError, match=r"train row 1 \(machine='a'\) \(column 'heat'\): .*nan"):
        _ = data.spec
    data = SequenceDataModule(
        Frames(frame(), test=frame(heat=[0.5, 1.5, 2.5, np.nan, 4.5, 5.5]), **LONG),
        "heat",
        "state",
        max_tokens=9,
        validation_fraction=0,
    )
    with pytest.raises(RowError, match=r"test row 2 \(machine='c'\) \(column 'heat'\): .*nan"):
        data.rows("test")


def test_rows_do_not_carry_the_tables_to_workers():
    big = frame()
    big["note"] = ["x" * 100_000] * 6
    data = SequenceDataModule(Frames(big, **LONG), "heat", "state", max_tokens=9, validation_fraction=0)
    assert len(pickle.dumps(data.rows("train"))) < 100_000


class TestPerRow:
    def test_lists_go_back_to_the_rows_of_the_table(self):
        table = frame()
        source = Frames(test=table, **LONG)
        sequences = source.load()["test"]
        assert source.per_row("test", sequences["heat"]) == READINGS["heat"]
        assert source.per_row("test", [np.array(each) for each in sequences["speed"]]) == READINGS["speed"]
        assert source.per_row("test", sequences["model"]) == READINGS["model"]  # one value a sequence
        table["predicted"] = source.per_row("test", sequences["state"])
        assert table["predicted"].equals(table["state"])

    def test_without_groups_values_are_those_of_rows(self):
        source = Frames({"words": [["a", "b"], ["c"]]})
        assert source.per_row("train", [["X", "Y"], ["Z"]]) == [["X", "Y"], ["Z"]]

    def test_wrong_lengths(self):
        source = Frames(frame(), **LONG)
        with pytest.raises(ValueError, match="2 values for the 3 sequences of train; give one for each"):
            source.per_row("train", [1, 2])
        with pytest.raises(ValueError, match=r"1 values for the 2 steps of sequence 1 \(machine='a'\) of train"):
            source.per_row("train", [[1, 2, 3], [1], [1]])
