import pickle
import re

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, LargeList, List, Value, load_from_disk

import seqkit.packed
from seqkit.data import PackCollate, RaggedRows
from tests.data.rows.cases import ROWS, VIEWS, check_rows

WORDS = ["a", "ß", "naïve", "日本語", "x" * 40, "🙂🙂", "e\u0301", "two"]


def texts(large=False):
    """Make rows of 1 to 12 words, as strings and as lists of code points, with a second sequence of any length."""
    rng = np.random.default_rng(0)
    rows = [rng.choice(WORDS, length).tolist() for length in rng.integers(1, 13, ROWS)]
    lists, string = (LargeList, "large_string") if large else (List, "string")
    features = {
        "words": lists(Value(string)),
        "ids": lists(lists(Value("int32"))),
        "vectors": lists(lists(List(Value("float32"), length=2))),
        "y": List(Value("int16")),
        "label": Value("int64"),
        "text": Value(string),
        "other": lists(Value("int64")),
    }
    columns = {
        "words": rows,
        "ids": [[[ord(c) for c in word] for word in row] for row in rows],
        "vectors": [[[[ord(c), -1.5] for c in word] for word in row] for row in rows],
        "y": [rng.integers(0, 9, len(row)).tolist() for row in rows],
        "label": list(range(ROWS)),
        "text": [" ".join(row) for row in rows],
        "other": [rng.integers(0, 9, rng.integers(1, 30)).tolist() for _ in rows],
    }
    return Dataset.from_dict(columns, features=Features(features))


def check(data, inputs, targets=(), **options):
    return check_rows(data, inputs, targets, True, **options)[1]


@pytest.mark.parametrize("text", ["characters", "bytes"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view(view, large, text):
    data = VIEWS[view](texts(large))
    nested = ["words", "ids", "vectors"]
    batch = check(data, ["y", *nested], ["label", "other"], nested=nested, unaligned=["other"], text=text)
    rows = data[batch.rows.tolist()]
    outer = seqkit.packed.lengths(batch.inputs["y"]).tolist()
    assert outer == [len(words) for words in rows["words"]]
    decode = (lambda ids: bytes(ids).decode()) if text == "bytes" else (lambda ids: "".join(map(chr, ids)))
    words = [decode(ids.tolist()) for ids in seqkit.packed.unpack(batch.inputs["words"])]
    tokens = seqkit.packed.unpack(batch.inputs["y"]._replace(data=torch.arange(len(words))))
    assert [[words[token] for token in row] for row in tokens] == rows["words"]
    assert [ids.tolist() for ids in seqkit.packed.unpack(batch.targets["other"])] == rows["other"]


@pytest.mark.parametrize("text", ["characters", "bytes"])
@pytest.mark.parametrize("view", VIEWS)
def test_strings(view, text):
    data = VIEWS[view](texts())
    batch = check(data, ["text"], ["label"], text=text)
    expected = [list(row.encode()) if text == "bytes" else [*map(ord, row)] for row in data["text"]]
    rows = RaggedRows(data, ["text"], text=text)
    assert rows.lengths.tolist() == [len(row) for row in expected]
    found = [ids.tolist() for ids in seqkit.packed.unpack(batch.inputs["text"])]
    assert found == [expected[row] for row in batch.rows.tolist()]


def test_a_pair_of_strings():
    data = texts()
    check(data.add_column("second", data["text"][::-1]), ["text", "second"], unaligned=["second"])


def test_max_length_applies_to_tokens():
    batch = check(texts(), ["y", "words"], nested=["words"], max_length=2)
    assert seqkit.packed.lengths(batch.inputs["y"]).max() == 2
    assert seqkit.packed.lengths(batch.inputs["words"]).max() == 40
    check(texts(), ["text"], max_length=3)


def test_no_rows():
    rows = RaggedRows(texts(), ["y", "words"], ["other"], nested=["words"], unaligned=["other"])
    batch = rows[[]]
    assert batch.inputs["words"].data.shape == batch.targets["other"].data.shape == (0,)
    assert batch.inputs["words"].unsorted_indices.shape == (0,)


def test_memory_mapped_and_pickled(tmp_path):
    texts().save_to_disk(tmp_path / "rows", num_shards=3)
    rows = RaggedRows(load_from_disk(tmp_path / "rows"), ["y", "words"], nested=["words"])
    batch, again = rows[[1, 50, 20]], pickle.loads(pickle.dumps(rows))[[1, 50, 20]]
    assert torch.equal(batch.inputs["words"].data, again.inputs["words"].data)


def test_inner_values_of_different_shapes_are_decoded():
    data = Dataset.from_dict({"y": [[1, 2]] * 3, "x": [[[[1], [2]], [[3]]]] * 2 + [[[[1, 2]], [[3, 4]]]]})
    rows = RaggedRows(data, ["y", "x"], nested=["x"])
    assert not rows._can_gather
    assert rows[[0, 1]].inputs["x"].data.flatten().tolist() == [1, 1, 3, 3, 2, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"y": [1, 2], "words": ["a", ""]}, "row 1 (column 'words'): an empty sequence for token 1"),
        ({"y": [1, 2], "words": ["a"]}, "row 1: 2 tokens in column 'y' but 1 values in 'words'"),
        ({"y": [1], "words": [None]}, "row 1 (column 'words'): null"),
        ({"y": [1], "words": None}, "row 1 (column 'words'): null"),
    ],
)
def test_bad_words(row, message):
    examples = [{"y": [4], "words": ["b"]}, row]
    collate = PackCollate(["y", "words"], nested=["words"])
    with pytest.raises(ValueError, match=re.escape(message)):
        collate(examples)
    with pytest.raises(ValueError, match=re.escape(message)):
        RaggedRows(Dataset.from_list(examples), ["y", "words"], nested=["words"])[[0, 1]]


@pytest.mark.parametrize(
    ("other", "message"),
    [([], "row 1 (column 'other'): an empty sequence"), (None, "row 1 (column 'other'): null")],
)
def test_bad_unaligned_rows(other, message):
    data = Dataset.from_list([{"y": [4], "other": [5, 6]}, {"y": [4, 5], "other": other}])
    with pytest.raises(ValueError, match=re.escape(message)):
        RaggedRows(data, ["y"], ["other"], unaligned=["other"])[[0, 1]]


@pytest.mark.parametrize("name", ["y", "z"])
def test_nested_column_that_is_not_given(name):
    with pytest.raises(ValueError, match=f"column '{name}' is nested or unaligned; it must be only one of the two"):
        PackCollate(["y", "words"], nested=[name])
