import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data import Labels, LabelSequences, MultiLabels, encode_dataset, learn_spec
from seqkit.data.encoders import RowError
from seqkit.data.unseen import UnseenLabel, add_unseen, find_unseen, unseen_of_streams


@pytest.mark.parametrize(
    ("encoder", "rows", "expected"),
    [
        (Labels(["a", "b"]), ["a", "x", None, "b", "x"], [("x", 2, 1)]),
        (
            Labels(["a", "b"], ignore=["_"]),
            [["a", "_"], [], ["y", "x"], ["x", None, "b"]],
            [("x", 2, 2), ("y", 1, 2)],
        ),
        (MultiLabels(["a"]), [["a", "x"], [], ["x", "y"]], [("x", 2, 0), ("y", 1, 2)]),
        (MultiLabels(["a"]), [[["a"], []], [[], ["x", "a"]]], [("x", 1, 1)]),
        (LabelSequences(["a"]), ["aa", "az"], [("z", 1, 1)]),
        (LabelSequences(["a"]), [[["a"], ["a", "z"]], [["z"]]], [("z", 2, 0)]),
        (Labels(["1", "2"]), [1, 2, 3, -100], [("3", 1, 2)]),
        (Labels(["a"]), [], []),
    ],
)
def test_labels_are_found_with_their_counts_and_first_rows(encoder, rows, expected):
    feature = {"x": Value("string")} if not rows else None
    dataset = Dataset.from_dict({"x": rows}, None if feature is None else Features(feature))
    assert find_unseen(dataset, encoder, "x") == [UnseenLabel(*each) for each in expected]


def test_rows_are_counted_over_pieces_and_views():
    dataset = Dataset.from_dict({"x": ["a"] * 2500 + ["z"] * 10}).shuffle(seed=0)
    first = dataset["x"][:].index("z")
    assert find_unseen(dataset, Labels(["a"]), "x") == [UnseenLabel("z", 10, first)]


def test_the_names_of_class_labels_count():
    dataset = Dataset.from_dict({"x": [[0, 1], [2, -1]]}, Features({"x": List(ClassLabel(names=["a", "b", "c"]))}))
    assert find_unseen(dataset, Labels(["c", "a"]), "x") == [UnseenLabel("b", 1, 0)]
    with pytest.raises(RowError, match="a label is a string, an integer or a boolean"):
        find_unseen(Dataset.from_dict({"x": [0.5]}), Labels(["a"]), "x")


def test_ids_follow_the_classes():
    train = Dataset.from_dict({"w": [["v"]] * 2, "t": [["a"], ["b"]], "s": [["p"], ["q"]]})
    spec = learn_spec(train, {"w": None}, {"t": None, "s": MultiLabels()})
    rows = Dataset.from_dict({"w": [["v"] * 3], "t": [["y", "b", "x"]], "s": [["r", "p"]]})
    encoded = encode_dataset(rows, add_unseen(spec, {"t": ["x", "y"], "s": ["r"]}), "test")
    assert encoded["t"][:] == [[3, 1, 2]]
    assert encoded["s"][:] == [[1, 0, 1]]
    assert Labels(["a", "b"]).with_unseen(["x", "y"]).decode([[3, 1, 2]]) == [["y", "b", "x"]]
    assert MultiLabels(["p", "q"]).with_unseen(["r"]).decode([[1, 0, 1]]) == [["p", "r"]]
    with pytest.raises(RowError, match=r"test row 0 .*label 'y' at position 0 is not one of the known labels"):
        encode_dataset(rows, add_unseen(spec, {}), "test")
    assert "unseen" not in str(spec)


def test_names_for_all_labels_of_a_stream():
    assert unseen_of_streams(["a", "b"]) == ["(unseen)"]
    names = ["O", "B-x", "I-x", "B-y"]
    found = unseen_of_streams(names)
    assert found == ["(unseen)", "I-y", "B-(unseen)", "I-(unseen)"]
    encoder = Labels(names).with_unseen(found)
    tags = ["O", "I-y", "B-new", "I-new", "strange"]
    assert encoder.decode(encoder.encode([tags])) == [["O", "I-y", "B-(unseen)", "I-(unseen)", "(unseen)"]]
