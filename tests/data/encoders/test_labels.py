import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data.encoders import Labels, LabelSequences, MultiLabels, RowError


def fitted(encoder, values, feature=None):
    features = None if feature is None else Features({"x": feature})
    return encoder.fit(Dataset.from_dict({"x": values}, features), "x")


@pytest.mark.parametrize(
    ("encoder", "rows", "feature", "place"),
    [
        (MultiLabels(), [[0], [1, -1]], List(ClassLabel(names=["a", "b"])), "row 1: label -1 at position 1"),
        (MultiLabels(), [[0], [-1]], List(ClassLabel(names=["a", "b"])), "row 1: label -1 at position 0"),
        (MultiLabels(), [[[0]], [[], [1, -7]]], List(List(ClassLabel(names=["a", "b"]))), "row 1: label -7 at"),
        (MultiLabels(names=["1", "2"]), [[1], [-100, 2]], List(Value("int64")), "row 1: label -100 at position 0"),
        (LabelSequences(), [[0], [1, -1]], List(ClassLabel(names=["a", "None"])), "row 1: label -1 at position 1"),
        (LabelSequences(names=["1", "None"]), [[1, -100]], List(Value("int64")), "row 0: label -100 at position 1"),
    ],
)
def test_a_missing_label_in_a_list_is_refused(encoder, rows, feature, place):
    """As an index, it would set another label."""
    with pytest.raises(RowError, match=f"{place}.* is a missing label; take it out of the list, or drop the row"):
        fitted(encoder, rows, feature).encode_array(pa.array(rows), feature)


class TestLabels:
    def test_strings_are_sorted(self):
        labels = fitted(Labels(), ["no", "yes", None, "maybe"])
        assert labels.init_args()["names"] == ["maybe", "no", "yes"]
        assert labels.size == 3
        assert labels.encode(["yes", None, "no"]) == [2, -100, 1]
        assert labels.decode([2, -100, 1, -1]) == ["yes", None, "no", None]

    def test_per_token(self):
        labels = fitted(Labels(), [["B", "O"], ["O"]])
        ids = labels.encode([["O", "B"], [], [None]])
        assert ids == [[1, 0], [], [-100]]
        assert labels.decode(ids) == [["O", "B"], [], [None]]

    def test_class_labels_keep_their_names(self):
        feature = ClassLabel(names=["z", "a", "never seen"])
        labels = fitted(Labels(), [[1, 0]], List(feature))
        assert labels.names == ["z", "a", "never seen"]
        encoded = labels.encode_array(pa.array([[0, 1, -1], [-100]]), List(feature))
        assert encoded.to_pylist() == [[0, 1, -100], [-100]]

    def test_class_labels_in_another_order(self):
        labels = Labels(names=["a", "z"])
        other = ClassLabel(names=["z", "a", "q"])
        assert labels.encode_array(pa.array([0, 1]), other).to_pylist() == [1, 0]
        with pytest.raises(RowError, match="row 1: label 'q' is not one of the known labels: a, z"):
            labels.encode_array(pa.array([0, 2]), other)

    @pytest.mark.parametrize(
        ("values", "names"), [([10, -1, 2, 10], ["-1", "2", "10"]), ([True, False], ["False", "True"])]
    )
    def test_integers_and_booleans(self, values, names):
        labels = fitted(Labels(), values)
        assert labels.names == names
        assert labels.decode(labels.encode(values)) == [str(value) for value in values]

    def test_ignored(self):
        labels = fitted(Labels(ignore=["_"]), ["_", "a", "b"])
        assert labels.init_args() == {"names": ["a", "b"], "ignore": ["_"]}
        assert labels.encode(["a", "_"]) == [0, -100]

    def test_unknown_label(self):
        with pytest.raises(RowError, match="row 1: label 'c' at position 1 is not one of the known labels: a, b"):
            Labels(["a", "b"]).encode([["a"], ["b", "c"]])
        with pytest.raises(RowError, match=r"row 0: label 'x' is not one of .*: 0, 1, .*, 29 and 10 more"):
            Labels([str(n) for n in range(40)]).encode(["x"])

    def test_other_types(self):
        with pytest.raises(RowError, match="a label is a string, an integer or a boolean, not"):
            Labels(["a"]).encode([1.5])
        with pytest.raises(RowError, match="MultiLabels for several labels at once"):
            fitted(Labels(), [[["a"]]])

    def test_nothing_to_learn(self):
        with pytest.raises(ValueError, match="column 'x' contains no label to learn; give names"):
            fitted(Labels(), [None], Value("string"))
        with pytest.raises(ValueError, match=r"this Labels has no names yet; call fit\(\)"):
            Labels().encode(["a"])


class TestMultiLabels:
    def test_per_sequence(self):
        labels = fitted(MultiLabels(), [["b", "a"], [], ["c"]])
        assert labels.names == ["a", "b", "c"]
        hot = labels.encode([["c", "a", "c"], []])
        assert hot == [[1, 0, 1], [0, 0, 0]]
        assert labels.decode(hot) == [["a", "c"], []]
        assert labels.decode([[0.2, 0.7, 0.5]]) == [["b"]]

    def test_per_token(self):
        labels = fitted(MultiLabels(), [[["b"], ["a"]], []])
        hot = labels.encode([[["a", "b"], []], [], [["b"]]])
        assert hot == [[[1, 1], [0, 0]], [], [[0, 1]]]
        assert labels.decode(hot) == [[["a", "b"], []], [], [["b"]]]

    def test_class_labels(self):
        assert fitted(MultiLabels(), [[0]], List(ClassLabel(names=["x", "y"]))).names == ["x", "y"]

    def test_unknown_label(self):
        labels = MultiLabels(["a"])
        with pytest.raises(RowError, match="row 1: label 'b' at position 1 is not one of the known labels: a"):
            labels.encode([["a"], ["a", "b"]])
        with pytest.raises(RowError, match="row 2: label 'b' at position 1 is not one of the known labels: a"):
            labels.encode([[["a"], ["a"]], [], [[], ["a"], ["b"]]])
        with pytest.raises(RowError, match=r"row 0: there is no value \(null\) at position 1"):
            labels.encode([["a", None]])

    def test_other_types(self):
        with pytest.raises(
            RowError, match=r"MultiLabels reads lists of labels, not .*; use Labels for one label each"
        ):
            MultiLabels(["a"]).encode(["a"])
