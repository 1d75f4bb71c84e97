import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data.encoders import Labels, MultiLabels, RowError


def fitted(encoder, values, feature=None):
    features = None if feature is None else Features({"x": feature})
    return encoder.fit(Dataset.from_dict({"x": values}, features), "x")


class TestLabels:
    def test_strings_are_sorted(self):
        labels = fitted(Labels(), ["no", "yes", None, "maybe"])
        assert labels.init_args()["names"] == ["maybe", "no", "yes"]
        assert labels.size == 3
        assert labels.encode(["yes", None, "no"]) == [2, -100, 1]
        assert labels.decode([2, -100, 1]) == ["yes", None, "no"]

    def test_per_token(self):
        labels = fitted(Labels(), [["B", "O"], ["O"]])
        ids = labels.encode([["O", "B"], [], [None]])
        assert ids == [[1, 0], [], [-100]]
        assert labels.decode(ids) == [["O", "B"], [], [None]]

    def test_class_labels_keep_their_names(self):
        feature = ClassLabel(names=["z", "a", "never seen"])
        labels = fitted(Labels(), [[1, 0]], List(feature))
        assert labels.names == ["z", "a", "never seen"]
        column = Dataset.from_dict({"x": [[0, 1, -1], [-100]]}, Features({"x": List(feature)})).with_format("arrow")
        encoded = labels.encode_array(column[:]["x"].combine_chunks(), List(feature))
        assert encoded.to_pylist() == [[0, 1, -100], [-100]]

    def test_class_labels_of_another_order_go_by_name(self):
        labels = Labels(names=["a", "z"])
        other = ClassLabel(names=["z", "a", "q"])
        column = (
            Dataset.from_dict({"x": [0, 1]}, Features({"x": other})).with_format("arrow")[:]["x"].combine_chunks()
        )
        assert labels.encode_array(column, other).to_pylist() == [1, 0]
        column = (
            Dataset.from_dict({"x": [0, 2]}, Features({"x": other})).with_format("arrow")[:]["x"].combine_chunks()
        )
        with pytest.raises(RowError, match="row 1: label 'q' is not one of the known labels: a, z"):
            labels.encode_array(column, other)

    @pytest.mark.parametrize(
        ("values", "names"), [([10, -1, 2, 10], ["-1", "2", "10"]), ([True, False], ["False", "True"])]
    )
    def test_numbers_and_truth_values(self, values, names):
        labels = fitted(Labels(), values)
        assert labels.names == names
        assert labels.decode(labels.encode(values)) == [str(value) for value in values]

    def test_ignored(self):
        labels = fitted(Labels(ignore=["_"]), ["_", "a"])
        assert labels.init_args() == {"names": ["a"], "ignore": ["_"]}
        assert labels.encode(["a", "_"]) == [0, -100]

    def test_an_unseen_label(self):
        with pytest.raises(RowError, match="row 1: label 'c' at position 1 is not one of the known labels: a, b"):
            Labels(["a", "b"]).encode([["a"], ["b", "c"]])
        with pytest.raises(RowError, match=r"row 0: label 'x' is not one of .*: 0, 1, .*, 29 and 10 more"):
            Labels([str(n) for n in range(40)]).encode(["x"])

    def test_wants_labels(self):
        with pytest.raises(RowError, match="a label is a string, a whole number or a truth value, not"):
            Labels(["a"]).encode([1.5])
        with pytest.raises(RowError, match="MultiLabels for several labels at once"):
            fitted(Labels(), [[["a"]]])

    def test_nothing_to_learn(self):
        with pytest.raises(ValueError, match="column 'x' holds no label, so there is nothing to learn"):
            fitted(Labels(), [None], Value("string"))
        with pytest.raises(ValueError, match=r"this Labels has no names yet; use what its fit\(\) returns"):
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

    def test_the_row_of_an_unseen_label(self):
        labels = MultiLabels(["a"])
        with pytest.raises(RowError, match="row 1: label 'b' at position 1 is not one of the known labels: a"):
            labels.encode([["a"], ["a", "b"]])
        with pytest.raises(RowError, match="row 2: label 'b' at position 1 is not one of the known labels: a"):
            labels.encode([[["a"], ["a"]], [], [[], ["a"], ["b"]]])
        with pytest.raises(RowError, match=r"row 0: there is no value \(null\) at position 1"):
            labels.encode([["a", None]])

    def test_wants_lists(self):
        with pytest.raises(
            RowError, match=r"MultiLabels reads lists of labels, not .*; use Labels for one label each"
        ):
            MultiLabels(["a"]).encode(["a"])
