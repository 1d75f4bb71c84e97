import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data import LabelSequences
from seqkit.data.encoders import RowError, encode_dataset, learn_spec


def fitted(values, feature=None, **options):
    features = None if feature is None else Features({"y": feature})
    return LabelSequences(**options).fit(Dataset.from_dict({"y": values}, features), "y")


def test_lists_of_labels():
    labels = fitted([["b", "a"], [], ["a", "a"]])
    assert labels.names == ["a", "b"]
    assert labels.size == 2
    encoded = labels.encode([["a", "b"], [], ["c"]])
    assert encoded == [[0, 1, -1], [-1], [-2, -1]]
    assert labels.decode(encoded) == [[["a", "b"]], [[]], [[None]]]


def test_several_references():
    labels = fitted([[["b"], ["a", "c"]], [[]]])
    encoded = labels.encode([[["b"], ["a", "c"], []], [["c"]]])
    assert encoded == [[1, -1, 0, 2, -1, -1], [2, -1]]
    assert labels.decode(encoded) == [[["b"], ["a", "c"], []], [["c"]]]


def test_characters():
    labels = fitted(["no", "on a"])
    assert labels.names == [" ", "a", "n", "o"]
    assert labels.encode(["a é", ""]) == [[1, 0, -2, -1], [-1]]
    labels = fitted([["no", "on"], ["a"]], characters=True)
    assert labels.encode([["on", "a"], [""]]) == [[2, 1, -1, 0, -1], [-1]]


def test_class_labels_and_numbers():
    assert fitted([[0]], List(ClassLabel(names=["x", "y"]))).names == ["x", "y"]
    assert fitted([[30, 4]], List(Value("int32"))).names == ["4", "30"]


def test_the_spec_entry_is_unaligned():
    rows = Dataset.from_dict({"x": ["abc", "d"], "y": [["k"], ["k", "l"]]})
    spec = learn_spec(rows, {"x": None}, {"y": LabelSequences()})
    entry = spec["targets"]["y"]
    assert (entry["kind"], entry["per"], entry["names"]) == ("labels", "unaligned", ["k", "l"])
    encoded = encode_dataset(rows, spec, "train")
    assert encoded["y"][:] == [[0, -1], [0, 1, -1]]
    assert encoded.features["y"] == List(Value("int64"))


def test_errors():
    labels = LabelSequences(["a"])
    with pytest.raises(RowError, match="row 1: there is no reference; give one"):
        labels.encode([[["a"]], []])
    with pytest.raises(RowError, match=r"row 1: there is no value \(null\) at position 1"):
        labels.encode([[["a", "a"]], [["a"], [None]]])
    with pytest.raises(RowError, match=r"row 2: there is no value \(null\)"):
        labels.encode(["a", "a", None])
    with pytest.raises(RowError, match="LabelSequences reads strings, lists of labels or lists of these, not"):
        labels.encode([1, 2])
    with pytest.raises(RowError, match="LabelSequences reads strings, lists of labels or lists of these, not"):
        labels.encode([[[["a"]]]])
    with pytest.raises(RowError, match="a label is a string, an integer or a boolean"):
        labels.encode([[0.5]])
    with pytest.raises(ValueError, match="this LabelSequences has no names yet"):
        LabelSequences().encode(["a"])
    with pytest.raises(ValueError, match="column 'y' contains no label to learn; give names"):
        fitted([[]], List(datasets.Value("string")))
