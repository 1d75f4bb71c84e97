"""What may be given as rows: every form gives the same results."""

import collections

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from seqkit import packed
from tests.tasks.prediction.cases import arrays, rows_of

WORDS = [["w1", "w2", "w3"], ["w4"], ["w5", "new"]]
TEXTS = ["w1 w2", "w3", "w4 w5 w6"]
WAVES = [[1.0, 2.0], [3.0], [0.5, 0.25, 4.0]]


def forms(values, column):
    """Some rows in all forms that a list of their values has."""
    table = pa.table({column: pa.array([list(value) if isinstance(value, list) else value for value in values])})
    dataset = datasets.Dataset.from_dict({column: values})
    return {
        "list": values,
        "tuple": tuple(values),
        "deque": collections.deque(values),
        "dicts": [{column: value, "more": i} for i, value in enumerate(values)],
        "columns": {"more": [1, 2, 3], column: values},
        "dataset": dataset.add_column("more", [1, 2, 3]),
        "view": dataset.select([2, 0, 1]).select([1, 2, 0]),
        "numpy format": dataset.with_format("numpy"),
        "column of a dataset": dataset[column],
        "arrow": table,
        "arrow array": table[column],
        "pandas": pd.DataFrame({column: values, "more": 1}),
        "pandas, other index": pd.DataFrame({column: values}, index=[7, 7, 7]),
        "pandas series": pd.Series(values),
        "polars": pl.DataFrame({column: values, "more": [1, 2, 3]}),
        "polars series": pl.Series(values),
    }


FORMS = list(forms(WORDS, "words"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("kind", "values", "column"),
    [("tagger", WORDS, "words"), ("words of a text", TEXTS, "text"), ("wave", WAVES, "values")],
)
def test_every_form_gives_the_same_results(kind, values, column, form, model):
    task = model(kind)
    expected = [task.predict({column: value}) for value in values]
    assert all(isinstance(result, dict) for result in expected)
    assert task.predict(forms(values, column)[form]) == expected


@pytest.mark.parametrize("kind", ["tagger", "words of a text", "characters of a text"])
def test_streams_give_the_same_results(kind, model):
    task = model(kind)
    values, column = (WORDS, "words") if kind == "tagger" else (TEXTS, "text")
    expected = task.predict(values)
    dataset = datasets.Dataset.from_dict({column: values, "more": [1, 2, 3]})
    stream = dataset.to_iterable_dataset(num_shards=2)
    unknown = datasets.IterableDataset.from_generator(lambda: ({column: value} for value in values))
    for rows in (stream, unknown, iter(values), ({column: value} for value in values), map(str.strip, values)):
        if isinstance(rows, map) and kind == "tagger":
            continue
        found = task.predict(rows)
        assert iter(found) is found
        assert list(found) == expected


def test_one_row_alone(model):
    words, text, series, wave = (model(kind) for kind in ("tagger", "words of a text", "series", "wave"))
    array = arrays()[2]
    for task, value in (
        (words, ["w1", "w2"]),
        (words, ("w1", "w2")),
        (words, np.array(["w1", "w2"])),
        (text, "w1 w2"),
        (series, array),
        (series, array.tolist()),
        (series, torch.from_numpy(array)),
        (wave, [1.0, 2.0]),
        (wave, np.array([1.0, 2.0])),
    ):
        found = task.predict(value)
        assert isinstance(found, dict)
        assert task.predict([value]) == [found]
        column = task.row_reader.columns[0]
        assert task.predict({column: value}) == found
        assert task.predict([{column: value}]) == [found]
        assert task.predict({column: [value]}) == [found]


def test_one_row_alone_in_any_container(model):
    words, wave = model("tagger"), model("wave")
    expected = words.predict(["w1", "w2"])
    for container in (pd.Series, pl.Series, pa.array, collections.deque):
        assert words.predict(container(["w1", "w2"])) == expected
    assert wave.predict(range(1, 3)) == wave.predict([1.0, 2.0])


def test_arrays(model):
    task, rows = model("series"), arrays()
    expected = [task.predict(row) for row in rows]
    assert task.predict(rows) == expected
    assert task.predict([row.astype(np.float64) for row in rows]) == expected
    assert task.predict([torch.from_numpy(row) for row in rows]) == expected
    assert task.predict([row.tolist() for row in rows]) == expected
    assert task.predict({"series": rows}) == expected
    assert list(task.predict(iter(rows))) == expected
    same = np.stack([rows[2], rows[2]])
    assert task.predict(same) == task.predict(torch.from_numpy(same)) == [expected[2]] * 2


def test_a_text_is_no_list_of_rows(model):
    """The spec says what a row was in training: the same list is three rows of one model, and one of the other."""
    texts = ["w1", "w2", "w3"]
    assert len(model("words of a text").predict(texts)) == 3
    assert len(model("tagger").predict(texts)["tags"]) == 3


def test_several_columns(model):
    rows = rows_of([3, 1])
    task = model("pairs")
    expected = task.predict(rows)
    both = {name: [row[name] for row in rows] for name in ("words", "other")}
    assert task.predict(both) == task.predict(pd.DataFrame(both)) == expected
    assert task.predict({"words": rows[0]["words"], "other": rows[0]["other"]}) == expected[0]
    with pytest.raises(
        ValueError, match="reads the columns words, other, so each row must be a dict with these keys"
    ):
        task.predict(WORDS)
    # Several inputs of one column need no names.
    assert len(model("characters of words, CNN").predict(WORDS)) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a"], ["b", None]], r"row 1 \(column 'words'\): there is no value \(null\) at position 1"),
        ([["a"], None], r"row 1 \(column 'words'\): there is no value \(null\)"),
        ([["a"], 3], r"row 1 \(column 'words'\)"),
        ([["a"], ["\ud800"]], r"row 1 \(column 'words'\): .* half of a character"),
        ([{"words": ["a"]}, {"word": ["b"]}], r"row 1: there is no column 'words', only word; did you mean 'word'"),
        ([{"words": ["a"]}, ["b"]], "row 1: a list, but other rows are dicts; give all as dicts"),
        ({"word": [["a"]]}, "rows has no column 'words'; it has word; did you mean 'word'"),
        (pd.DataFrame({"word": [["a"]]}), "rows has no column 'words'; it has word"),
        (datasets.Dataset.from_dict({"word": [["a"]]}), "rows has no column 'words'; it has word"),
        (
            datasets.DatasetDict(test=datasets.Dataset.from_dict({"words": [["a"]]})),
            "rows has the splits test; give",
        ),
        (datasets.Dataset.from_dict({"words": [["a"]]}).with_transform(dict), "rows has a transform"),
        (None, "rows is a NoneType; give a list of rows"),
        ([[1, 2]], "Words reads lists of words, or texts, not List"),
        ([[1, 2]], "; give such values, or use another encoder"),
        (5, "rows is a int; give a list of rows"),
        (2.5, "rows is a float; give a list of rows"),
        (np.array(5), "rows is a ndarray; give a list of rows"),
        (b"ab", "rows is a bytes; give a list of rows"),
        ({"a", "b"}, "rows is a set, which has no order; give a list"),
        (range(3), "Words reads lists of words, or texts, not List"),
        (pl.LazyFrame({"words": [["a"]]}), r"rows is a LazyFrame, which has no rows yet; call its collect\(\)"),
        (packed.pack([torch.arange(3)]), "rows is a PackedSequence, so it is encoded already; give rows as they"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,  # the same in each process
)
def test_bad_rows(rows, message, model):
    with pytest.raises((TypeError, ValueError), match=message):
        model("tagger").predict(rows)


def test_a_bad_row_of_a_stream_is_named(model):
    good = [["a"]] * 1002
    for rows in ([*good, ["b", None]], [*good, 3], [*({"words": row} for row in good), {}]):
        with pytest.raises(ValueError, match="row 1002"):
            list(model("tagger").predict(iter(rows)))


def test_a_bad_row_of_many_is_named_before_anything_is_predicted(model, monkeypatch):
    task = model("tagger")
    monkeypatch.setattr(task, "predict_step", lambda *_: pytest.fail("a batch was predicted"))
    with pytest.raises(ValueError, match="row 12000"):
        task.predict([["a"]] * 12_000 + [[None]])


def test_wrong_widths_of_arrays(model):
    with pytest.raises(ValueError, match="row 1"):
        model("series").predict([arrays()[0], arrays(width=3)[1]])
    with pytest.raises(ValueError, match=r"row 0 .*3 channels.*expected 2"):
        model("series").predict(arrays(width=3))


def test_values_are_not_hashed(model, monkeypatch):
    """A dataset has a hash of all its values, which takes longer than the prediction of a row."""
    monkeypatch.setattr(
        "datasets.arrow_dataset.generate_fingerprint", lambda *_: pytest.fail("the values were hashed")
    )
    for rows in (
        WORDS,
        {"words": WORDS},
        [{"words": row} for row in WORDS],
        iter(WORDS),
        pd.DataFrame({"words": WORDS}),
    ):
        assert len(list(model("tagger").predict(rows))) == 3


def test_labels_that_training_lacks_are_left_out_of_an_input(model):
    task = model("sets of labels as input")
    known = task.predict([[["odd"], [], ["high", "odd"]]])
    assert task.predict([[["odd", "new"], ["other"], ["high", "odd"]]]) == known
    assert task.predict([["odd"], [], ["high", "odd"]]) == known[0]
    assert len(task.predict([[[]], [[], []]])) == 2
    assert task.predict({"flags": [[]]}) == task.predict([[[]]])[0]


def test_lists_without_a_value_in_a_dict(model):
    """They are one row, where they can be one."""
    for kind, row, rows in (("tagger", [], [[], []]), ("wave", [], [[]]), ("series", [], [[], []])):
        task = model(kind)
        column = task.row_reader.columns[0]
        assert task.predict({column: row}, empty="none") is None
        assert task.predict({column: rows}, empty="none") == [None] * len(rows)
    assert model("words of a text").predict({"text": []}) == []


def test_a_text_is_refused_where_rows_were_lists_of_words(model):
    for rows in ("a b", {"words": "a b"}, iter(["a b"]), [{"words": "a b"}]):
        with pytest.raises(ValueError, match=r"row 0 \(column .words.\): .a b. is a text, but rows were lists"):
            list(model("tagger").predict(rows))
    assert len(model("words of a text").predict(["a b", "c"])) == 2


@pytest.mark.parametrize("depth", [400, 2000])
def test_lists_that_are_nested_too_deeply(model, depth):
    row = ["a"]
    for _ in range(depth):
        row = [row]
    for rows in (row, [{"words": row}], {"words": row}):
        with pytest.raises(ValueError, match="hundreds of lists within lists"):
            model("tagger").predict(rows)
