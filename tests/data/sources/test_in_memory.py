import datetime
import re

import datasets
import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest
import torch

from seqkit.data import as_dataset
from seqkit.data.rows.checks import RowError

ROWS = {
    "words": [["a", "b"], ["c"], []],
    "label": ["x", None, "y"],
    "count": [1, 2, 3],
    "size": [0.5, 1.5, 2.5],
    "good": [True, False, True],
}
RECORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
SERIES = [np.arange(6.0).reshape(3, 2), np.ones((1, 2)), np.zeros((0, 2))]


def types(dataset):
    return {name: feature.dtype for name, feature in dataset.features.items() if hasattr(feature, "dtype")}


@pytest.mark.parametrize(
    "rows",
    [
        RECORDS,
        ROWS,
        {name: tuple(values) for name, values in ROWS.items()},
        pandas.DataFrame(ROWS),
        pandas.DataFrame(ROWS).astype({"label": "category"}),
        pandas.DataFrame(ROWS).set_index("count", drop=False).sample(frac=1, random_state=0).sort_index(),
        polars.DataFrame(ROWS),
        polars.DataFrame(ROWS).with_columns(polars.col("label").cast(polars.Categorical)),
        pa.table(ROWS),
        datasets.Dataset.from_dict(ROWS),
        {
            "words": ROWS["words"],
            **{name: pandas.Series(ROWS[name]) for name in ("label", "count", "size", "good")},
        },
        {
            "words": ROWS["words"],
            **{name: polars.Series(ROWS[name]) for name in ("label", "count", "size", "good")},
        },
        {**ROWS, "count": np.array(ROWS["count"]), "size": torch.tensor(ROWS["size"], dtype=torch.float64)},
    ],
    ids=[
        *("records", "columns", "tuples", "pandas", "category", "index", "polars", "categorical", "arrow"),
        *("dataset", "pandas_series", "polars_series", "arrays"),
    ],
)
def test_all_forms_give_the_same_rows(rows):
    found = as_dataset(rows)
    assert list(found) == RECORDS
    expected = {"count": "int64", "size": "float64", "good": "bool"}
    assert {name: kind for name, kind in types(found).items() if name in expected} == expected
    assert types(found)["label"] in ("string", "large_string")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16, bool])
def test_arrays_of_one_or_two_dimensions(dtype):
    for series in (SERIES, [array[:, 0] for array in SERIES]):
        arrays = [array.astype(dtype) for array in series]
        found = as_dataset({"series": arrays, "label": [0, 1, 0]})
        assert found["series"][:] == [array.tolist() for array in arrays]
        leaf = found.features["series"].feature
        assert (leaf.feature if series is SERIES else leaf).dtype == {
            np.float16: "float32",
            bool: "bool",
        }.get(dtype, np.dtype(dtype).name)
    assert found.features["label"].dtype == "int64"


@pytest.mark.parametrize(
    "rows",
    [
        [["a", "b"], ["c"]],
        ["a text", "another"],
        SERIES,
        [torch.tensor(series) for series in SERIES],
        [torch.nn.Parameter(torch.tensor(series)) for series in SERIES],
    ],
    ids=["words", "texts", "arrays", "tensors", "parameters"],
)
def test_lists_of_values_are_one_column(rows):
    found = as_dataset(rows)
    assert found.column_names == ["values"]
    assert found["values"][:] == [row.tolist() if hasattr(row, "tolist") else row for row in rows]


def test_arrays_in_frames():
    frame = pandas.DataFrame({"label": ["x", "y", "x"]})
    frame["series"] = SERIES
    expected = [array.tolist() for array in SERIES]
    assert as_dataset(frame)["series"][:] == expected
    assert (
        as_dataset(polars.DataFrame({"series": polars.Series(SERIES, dtype=polars.Object)}))["series"][:]
        == expected
    )
    assert as_dataset(np.ones((4, 3, 2))).features["values"] == datasets.List(
        datasets.List(datasets.Value("float64"), length=2)
    )
    assert as_dataset({"x": np.ones((4, 3)), "y": np.array(["a"] * 4)})[0] == {"x": [1.0] * 3, "y": "a"}
    assert as_dataset([torch.ones(2, dtype=torch.bfloat16)])["values"][:] == [[1.0, 1.0]]


def test_whole_numbers_and_floats_mix():
    assert as_dataset([np.array([1, 2]), np.array([0.5])])["values"][:] == [[1.0, 2.0], [0.5]]
    assert as_dataset({"x": [1, 0.5]})["x"][:] == [1.0, 0.5]


def test_missing_values_of_frames():
    frame = pandas.DataFrame(
        {"text": ["a", None], "number": [1.0, np.nan], "whole": pandas.array([1, None], "Int64")}
    )
    found = as_dataset(frame)
    assert found["text"][:] == ["a", None]
    assert np.isnan(found["number"][1])  # a value, as in numpy
    assert found["whole"][:] == [1, None]
    found = as_dataset(polars.DataFrame({"number": [1.0, None, float("nan")]}))
    assert found["number"][1] is None
    assert np.isnan(found["number"][2])


def test_dates_are_kept():
    dates = [datetime.datetime(2024, 1, 31, 9), datetime.datetime(2024, 2, 1)]
    for rows in ({"at": dates}, pandas.DataFrame({"at": dates}), polars.DataFrame({"at": dates})):
        found = as_dataset(rows)
        assert found.features["at"].dtype.startswith("timestamp")
        assert [datetime.datetime.fromisoformat(str(at)) for at in found["at"]] == dates


def test_features_convert():
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["x", "y"]), "size": datasets.Value("float32")}
    )
    found = as_dataset([{"label": "y", "size": 1}, {"label": "x", "size": 2}], features)
    assert found.features == features
    assert found["label"][:] == [1, 0]
    only = datasets.Features({"size": datasets.Value("float32")})
    assert as_dataset([1, 2], only).features == only
    assert as_dataset([], features).features == features
    assert as_dataset(datasets.Dataset.from_dict({"size": [1]}), only).features == only
    assert as_dataset(found.data.table).features == features  # which Arrow's metadata has


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (
            {"words": [["a"], ["b"]], "label": ["x"]},
            ValueError,
            "column 'label' has 1 values but column 'words' has 2; each row needs one value in each column",
        ),
        (
            {"words": "abc"},
            TypeError,
            "column 'words' is 'abc' (str); give a list or an array with one value a row",
        ),
        ({"size": 3}, TypeError, "column 'size' is 3 (int); give a list"),
        ({}, ValueError, "there are no columns"),
        ([], ValueError, "there are no rows, so their columns are unknown"),
        (
            3,
            TypeError,
            "an object of type int has no rows to load; give a list of dicts, a dict of columns, a frame of pandas",
        ),
        ("abc", TypeError, "an object of type str has no rows to load"),
        (polars.LazyFrame(ROWS), TypeError, "a LazyFrame has no rows yet; call its collect()"),
        (pandas.DataFrame(np.ones((2, 2))), TypeError, "column 0 has no text as its name; rename it"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "2 columns have the name 'a'; rename them"),
        (pa.table([[1], [2]], names=["a", "a"]), ValueError, "2 columns have the name 'a'; rename them"),
        ({"x": np.array([1j])}, TypeError, "column 'x' has values of type complex128, which a dataset cannot hold"),
        (
            pandas.DataFrame({"x": pandas.period_range("2024", periods=2)}),
            TypeError,
            "column 'x' has values of type ",
        ),
        ([{"a": 1}, {"b": 1}], RowError, "row 1: has no 'a', but row 0 has 'a'; give None for a missing value"),
        ([{"a": 1}, {"a": 1, "b": 1}], RowError, "row 1: has 'b', but row 0 has 'a'; leave it out"),
        ([{"a": 1}, 3], RowError, "row 1: 3 (int), but row 0 is a dict"),
        (
            pandas.DataFrame({"x": pandas.Series(["a", np.nan], dtype=object)}),
            RowError,
            "row 1 (column 'x'): NaN (float), but row 0 has 'a' (str); fill it in",
        ),
        (
            pandas.DataFrame({"x": pandas.Series([1, "a"], dtype=object)}),
            RowError,
            "row 1 (column 'x'): 'a' (str), but row 0 has 1 (int)",
        ),
        (
            [np.ones((3, 2)), np.ones((4, 3))],
            RowError,
            "row 1 (column 'values'): an array of shape (4, 3), but row 0 has (3, 2); every row needs (T, 2)",
        ),
        (
            [np.ones(3), np.ones((4, 3))],
            RowError,
            "row 1 (column 'values'): an array of shape (4, 3), but row 0 has (3,); every row needs (T,)",
        ),
        (
            [np.ones((2, 3, 4))],
            RowError,
            "row 0 (column 'values'): an array of shape (2, 3, 4); give (T,) or (T, D)",
        ),
        ([np.ones((2, 0))], RowError, "row 0 (column 'values'): an array of shape (2, 0); give (T,) or (T, D)"),
        (
            [np.ones(2), np.array(1.0)],
            RowError,
            "row 1 (column 'values'): an array of shape (); give (T,) or (T, D)",
        ),
        ([np.ones(2), [1.0]], RowError, "row 1 (column 'values'): [1.0] (list), but other rows have arrays"),
        ([None, np.ones(2)], RowError, "row 0 (column 'values'): None (NoneType), but other rows have arrays"),
        (
            [np.ones(2), np.array(["a"])],
            RowError,
            "row 1 (column 'values'): an array of <U1, but row 0 has one of float64; convert it with astype",
        ),
    ],
)
def test_errors(rows, error, message):
    with pytest.raises(error, match=re.escape(message)):
        as_dataset(rows)


def test_rows_in_memory_have_no_files():
    for rows in (ROWS, RECORDS, pandas.DataFrame(ROWS)):
        assert as_dataset(rows).cache_files == []


def test_nested_tensors():
    rows = [torch.ones(2, 3), torch.zeros(4, 3)]
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged)
    for given in (nested, {"values": nested}):
        assert [torch.tensor(row) for row in as_dataset(given)["values"]][1].tolist() == rows[1].tolist()
