import datetime
import re

import datasets
import numpy as np
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data import as_dataset
from seqkit.data.rows.checks import RowError
from seqkit.data.sources.long_form.groups import Groups, make_groups
from tests.data.sources.long_form.cases import READINGS, SEQUENCES, frame


def group(rows, *arguments, **options):
    return Groups(*arguments, **options).sequences(as_dataset(rows), "train")


@pytest.mark.parametrize("rows", [frame(), polars.DataFrame(READINGS), READINGS], ids=["pandas", "polars", "dict"])
def test_rows_of_a_group_become_a_sequence(rows):
    assert list(group(rows, "machine", "hour", "model")) == SEQUENCES


def test_types_are_kept():
    found = group(frame(), "machine", "hour", "model").features
    table = as_dataset(frame()).features
    for name in ("machine", "model"):
        assert found[name] == table[name]
    for name in ("hour", "heat", "speed", "state"):
        assert found[name] == datasets.List(table[name])


def test_class_labels_are_kept():
    label = datasets.ClassLabel(names=["no", "yes"])
    rows = as_dataset(
        {"id": [1, 1], "a": [0, 1], "b": [1, 1]},
        datasets.Features({"id": datasets.Value("int64"), "a": label, "b": label}),
    )
    found = group(rows, "id", per_sequence="b")
    assert found.features == datasets.Features(
        {"id": datasets.Value("int64"), "a": datasets.List(label), "b": label}
    )
    assert found[0] == {"id": 1, "a": [0, 1], "b": 1}


def test_without_order_the_rows_stay_in_the_tables_order():
    found = group(frame(), "machine")
    assert found["hour"][:] == [[3, 1, 2], [1, 0], [7]]
    assert found["model"][:] == [["new"] * 3, ["old"] * 2, ["new"]]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xy"), st.integers(-5, 5)), min_size=1, max_size=30))
def test_against_a_plain_loop(rows):
    """Two columns name a group. Of equal groups and orders only the first row stays, which `order` requires."""
    rows = list(dict.fromkeys(rows))
    expected: dict[tuple[int, str], list[int]] = {}
    for number, name, at in rows:
        expected.setdefault((number, name), []).append(at)
    table = dict(zip(("number", "name", "at"), map(list, zip(*rows, strict=True)), strict=True))
    groups = Groups(["number", "name"], "at")
    steps = groups.steps(as_dataset(table).with_format("arrow")[:])
    found = np.split(np.array(table["at"])[steps.rows], steps.lengths.cumsum()[:-1])
    assert [each.tolist() for each in found] == [sorted(each) for each in expected.values()]
    steps = Groups(["number", "name"]).steps(as_dataset(table).with_format("arrow")[:])
    found = np.split(np.array(table["at"])[steps.rows], steps.lengths.cumsum()[:-1])
    assert [each.tolist() for each in found] == list(expected.values())


DAYS = [datetime.date(2024, 1, day) for day in (3, 31, 2, 7, 5, 12)]
TIMES = [datetime.datetime(2024, 1, 1, hour) for hour in (9, 11, 8, 7, 10, 12)]


@pytest.mark.parametrize(
    "order",
    [
        DAYS,
        [day.isoformat() for day in DAYS],
        TIMES,
        pandas.Series(TIMES).dt.tz_localize("UTC"),
        [time.isoformat(" ") for time in TIMES],
        [f"{time.isoformat()}Z" for time in TIMES],
        [time - TIMES[0] for time in TIMES],
        [time.time() for time in TIMES],
        [0.5, 1.5, -1.0, 0, 0, 7],
        np.array([3, 9, 1, 0, 5, 200], np.uint8),
    ],
    ids=["days", "day_texts", "times", "zone", "time_texts", "zone_texts", "durations", "clock", "floats", "uint8"],
)
def test_orders(order):
    found = group(frame(hour=order), "machine", "hour")
    assert found["heat"][:] == [[2.5, 0.5, 5.5], [4.5, 1.5], [3.5]]


def test_vectors_replace_columns():
    found = group(frame(), "machine", "hour", vectors={"sensors": ["speed", "heat"]})
    assert found["sensors"][:] == [
        [[30.0, 2.5], [60.0, 5.5], [10.0, 0.5]],
        [[50.0, 4.5], [20.0, 1.5]],
        [[40.0, 3.5]],
    ]
    assert found.features["sensors"] == datasets.List(datasets.List(datasets.Value("float64"), length=2))
    assert not {"speed", "heat"} & set(found.column_names)
    single = frame(heat=np.array(READINGS["heat"], np.float32))
    found = group(single, "machine", "hour", vectors={"heat": ["heat"]})
    assert found.features["heat"].feature.feature.dtype == "float32"
    assert found["heat"][2] == [[3.5]]


def test_lists_as_values_of_a_step_or_a_sequence():
    rows = {"id": [1, 2, 1], "chord": [["c", "e"], [], ["g"]], "topics": [["x"], ["y", "z"], ["x"]]}
    found = group(rows, "id", per_sequence="topics")
    assert list(found) == [
        {"id": 1, "chord": [["c", "e"], ["g"]], "topics": ["x"]},
        {"id": 2, "chord": [[]], "topics": ["y", "z"]},
    ]
    with pytest.raises(RowError, match=r"row 2 \(column 'topics'\): id=1 has \['q'\] here but \['x'\] in row 0"):
        group(rows | {"topics": [["x"], ["y", "z"], ["q"]]}, "id", per_sequence="topics")


def test_no_rows():
    rows = as_dataset(frame()).select([])
    found = Groups("machine", "hour").sequences(rows, "train")
    assert len(found) == 0
    assert found.features["heat"] == datasets.List(datasets.Value("float64"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"hour": [3, 1, 1, 7, 0, 3]},
            "row 5 (column 'hour'): machine='b' has 3 in row 0, too; drop one of the two rows, or name a further",
        ),
        (
            {"hour": [3, 1, None, 7, 0, 2]},
            "row 2 (column 'hour'): NaN is a missing value; fill it in or drop the row",
        ),
        (
            {"hour": pandas.array([3, 1, None, 7, 0, 2], "Int64")},
            "row 2 (column 'hour'): there is no value (null); fill it in or drop the row",
        ),
        (
            {"hour": ["3", "1", "1", "7", "0", "2"]},
            "row 0 (column 'hour'): the text '3' gives no order ('10' is before '9'); give numbers, dates, or",
        ),
        (
            {"hour": ["2024-01-03", "2024-01-01", "2024-01-01", "2024-01-07", "soon", "2024-01-02"]},
            "row 4 (column 'hour'): the text 'soon' gives no order",
        ),
        (
            {"hour": [True] * 6},
            "row 0 (column 'hour'): True (bool) gives no order; name a column of numbers or dates",
        ),
        ({"hour": [[1]] * 6}, "row 0 (column 'hour'): [1] is no single value; name another column"),
        ({"machine": ["b", "a", None, "c", "a", "b"]}, "row 2 (column 'machine'): there is no value (null)"),
        ({"machine": [1, 2, np.nan, 3, 2, 1]}, "row 2 (column 'machine'): NaN is a missing value"),
        ({"machine": [["b"]] * 6}, "row 0 (column 'machine'): ['b'] is no single value"),
        (
            {"model": ["new", "old", "new", "new", "old", "old"]},
            "row 5 (column 'model'): machine='b' has 'old' here but 'new' in row 2; a column in per_sequence has "
            "one value for each group: correct it, or leave it out of per_sequence to read a value for each step",
        ),
        ({"model": ["new", None, "new", "new", "old", "new"]}, "row 1 (column 'model'): machine='a' has None here"),
        ({"heat": ["x"] * 6}, "row 0 (column 'heat'): 'x' ("),
        ({"heat": ["1", "2.5", "warm", "4", "cold", "6"]}, "row 2 (column 'heat'): 'warm' ("),
        (
            {"speed": pandas.array([1, None, 3, 4, 5, 6], "Int64")},
            "row 1 (column 'speed'): there is no value (null); fill it in or drop the row",
        ),
    ],
)
def test_bad_tables(changed, message):
    with pytest.raises(RowError, match=re.escape(message)):
        group(frame(**changed), "machine", "hour", "model", {"sensors": ["heat", "speed"]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "machin"}, "train has no column 'machin'; it has machine, hour.*; did you mean 'machine'?"),
        ({"group": "machine", "order": "hours"}, "train has no column 'hours'; .*; did you mean 'hour'?"),
        ({"group": "machine", "per_sequence": "modl"}, "train has no column 'modl'"),
        ({"group": "machine", "vectors": {"x": ["heat", "sped"]}}, "train has no column 'sped'"),
        (
            {"group": "machine", "vectors": {"state": ["heat"]}},
            r"train has a column 'state'; .* \['heat'\] a new name",
        ),
    ],
)
def test_missing_columns(options, message):
    with pytest.raises(ValueError, match=message):
        group(frame(), **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, "hour", (), None), ValueError, "order='hour' needs group: name the column whose equal values make"),
        ((None, None, "model", None), ValueError, "per_sequence='model' needs group"),
        ((None, None, (), {"x": ["heat"]}), ValueError, "vectors={'x': ['heat']} needs group"),
        (("machine", "machine", (), None), ValueError, "'machine' is in group and in order; leave it out of one"),
        (("machine", "hour", ["hour"], None), ValueError, "'hour' is in order and in per_sequence"),
        (("machine", None, (), {"x": ["machine"]}), ValueError, "'machine' is in group and in vectors"),
        ((["machine", "machine"], None, (), None), ValueError, "contains 'machine' twice"),
        (([], None, (), None), ValueError, "group=[]: names no column"),
        ((3, None, (), None), TypeError, "group=3: must be a name or a list of names"),
        (("machine", ["hour"], (), None), TypeError, "order=['hour']: must be str or None"),
        (("machine", None, (), ["heat"]), TypeError, "vectors=['heat']: must be Mapping or None"),
        (("machine", None, (), {"x": []}), ValueError, "vectors['x']=[]: names no column"),
    ],
)
def test_options(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make_groups(*arguments)


def test_no_group_is_no_grouping():
    assert make_groups(None, None, (), None) is None
