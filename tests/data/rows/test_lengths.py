import sys

import numpy as np
import pytest
from datasets import Dataset, Features, LargeList, List, Value, concatenate_datasets, load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data import lengths

VIEWS = {
    "all": lambda data: data,
    "selected": lambda data: data.select([3, 1, 1, 2]),
    "sliced": lambda data: data.select(range(2, 5)),
    "shuffled": lambda data: data.shuffle(seed=1),
    "filtered": lambda data: data.filter(lambda row: row["id"] % 2 == 0),
    "twice": lambda data: data.shuffle(seed=1).select([4, 0]),
    "concatenated": lambda data: concatenate_datasets([data.select(range(3)), data.shuffle(seed=2), data]),
    "none": lambda data: data.select([]),
}
ROWS = [[1, 2, 3], [], [4], [5, 6], [7, 8, 9, 10], [11]]


def dataset(kind, rows=ROWS):
    return Dataset.from_dict(
        {"x": rows, "id": list(range(len(rows)))}, features=Features({"x": kind, "id": Value("int64")})
    )


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", [List(Value("int8")), LargeList(Value("float64"))], ids=["list", "large"])
def test_counts_tokens(kind, view):
    data = VIEWS[view](dataset(kind))
    found = lengths(data, "x")
    assert found.dtype == np.int64
    assert found.tolist() == [len(row) for row in data["x"]]


@pytest.mark.parametrize("view", VIEWS)
def test_counts_characters(view):
    data = VIEWS[view](dataset(Value("string"), ["abc", "", "é", "日本語", "e\u0301", "🎈🎈"]))
    assert lengths(data, "x").tolist() == [len(text) for text in data["x"]]


@pytest.mark.parametrize("view", VIEWS)
def test_fixed_size_lists(view):
    data = VIEWS[view](dataset(List(Value("int64"), length=2), [[row, row] for row in range(6)]))
    assert lengths(data, "x").tolist() == [2] * len(data)


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=9), st.data())
def test_any_view(rows, data):
    view = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    found = lengths(dataset(List(Value("int64")), rows).select(view), "x")
    assert found.tolist() == [len(rows[row]) for row in view]


def test_counts_outer_lists():
    assert lengths(Dataset.from_dict({"x": [[[1, 2], [3]], [[4]]]}), "x").tolist() == [2, 1]


@pytest.mark.parametrize("view", ["all", "shuffled"])
@pytest.mark.parametrize("kind", ["list", "text"])
def test_lengths_of_many_rows_on_disk_are_cached(kind, view, tmp_path, monkeypatch):
    module = sys.modules["seqkit.data.rows.lengths"]
    monkeypatch.setattr(module, "_MIN_CACHED_ROWS", 5)
    kinds = {"list": (List(Value("int8")), ROWS), "text": (Value("string"), ["ab", "", "é", "日本", "x", "y"])}
    dataset(*kinds[kind]).save_to_disk(tmp_path)
    data = VIEWS[view](load_from_disk(str(tmp_path)))
    found = lengths(data, "x")
    assert found.tolist() == [len(row) for row in data["x"]]
    (cached,) = tmp_path.glob("lengths-*")
    np.save(cached, found + 1)
    again = VIEWS[view](load_from_disk(str(tmp_path)))
    assert lengths(again, "x").tolist() == (found + 1).tolist()
    other = lengths(data, "x", text="bytes")
    assert len(list(tmp_path.glob("lengths-*"))) == (1 if kind == "list" else 2)
    if kind == "text":
        assert other.tolist() == [len(row.encode()) for row in data["x"]]
    assert lengths(data.select(range(5)), "x").tolist() == [len(row) for row in data["x"][:5]]
    assert not list(tmp_path.glob("*.partial*"))


def test_read_only_folder(tmp_path, monkeypatch):
    module = sys.modules["seqkit.data.rows.lengths"]
    monkeypatch.setattr(module, "_MIN_CACHED_ROWS", 5)
    dataset(List(Value("int8"))).save_to_disk(tmp_path)

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(module.np, "save", refuse)
    assert lengths(load_from_disk(str(tmp_path)), "x").tolist() == [len(row) for row in ROWS]
    assert not list(tmp_path.glob("lengths-*"))


class TestErrors:
    def test_null_names_the_row_of_the_view(self):
        data = dataset(List(Value("int64")), [[1], [2], None, [3]])
        with pytest.raises(
            ValueError, match=r"^row 2 \(column 'x'\): null, or contains a null; fill it in or drop the row"
        ):
            lengths(data, "x")
        with pytest.raises(ValueError, match=r"^row 1 \(column 'x'\): null"):
            lengths(data.select([3, 2, 0]), "x")
        assert lengths(data.select([3, 0]), "x").tolist() == [1, 1]

    def test_missing_column(self):
        with pytest.raises(ValueError, match=r"^the dataset has no column 'y'; it has x, id$"):
            lengths(dataset(Value("string"), ["a"]), "y")

    def test_numbers_have_no_lengths(self):
        with pytest.raises(
            ValueError,
            match=r"^column 'id' has type int64; only lists and strings have lengths: use another column$",
        ):
            lengths(dataset(Value("string"), ["a"]), "id")

    def test_transform(self):
        data = dataset(Value("string"), ["a"]).with_transform(lambda batch: batch)
        with pytest.raises(ValueError, match=r"^column 'x' passes through a transform .* dataset.map"):
            lengths(data, "x")
