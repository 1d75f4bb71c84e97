import json

import pytest
from datasets import Array2D, ClassLabel, Dataset, Features, List, Value

from seqkit.data import encoders
from seqkit.data.encoders import MultiLabels, Words, encode_dataset, input_depth, learn_spec, target_encoder

TRAIN = Dataset.from_dict(
    {
        "words": [["a", "b", "a"], ["c"]],
        "text": ["ab", "c"],
        "ids": [[0, 4], [1]],
        "series": [[[0.0, 1.0]], [[2.0, 5.0]]],
        "wave": [[1.0, 3.0], [2.0]],
        "tags": [[0, 1, 0], [1]],
        "label": ["yes", "no"],
        "score": [0.5, 1.5],
        "steps": [[0.0, 1.0, 2.0], [3.0]],
        "topics": [["x"], ["x", "y"]],
        "senses": [[["n"], [], ["v", "n"]], [["v"]]],
    },
    Features(
        {
            "words": List(Value("string")),
            "text": Value("string"),
            "ids": List(Value("int32")),
            "series": List(List(Value("float32"), length=2)),
            "wave": List(Value("float64")),
            "tags": List(ClassLabel(names=["O", "B"])),
            "label": Value("string"),
            "score": Value("float64"),
            "steps": List(Value("float32")),
            "topics": List(Value("string")),
            "senses": List(List(Value("string"))),
        }
    ),
)


@pytest.mark.parametrize(
    ("column", "encoder", "kind", "size"),
    [
        ("words", "Words", "ids", 4),
        ("text", "Characters", "ids", 4),
        ("ids", "Ids", "ids", 5),
        ("tags", "Ids", "ids", 2),
        ("series", "Features", "features", 2),
        ("wave", "Features", "features", 1),
    ],
)
def test_default_input_encoders(column, encoder, kind, size):
    entry = learn_spec(TRAIN, {column: None}, {})["inputs"][column]
    assert entry["class_path"] == f"seqkit.data.{encoder}"
    assert (entry["kind"], entry["size"]) == (kind, size)


@pytest.mark.parametrize(
    ("column", "encoder", "kind", "per", "names"),
    [
        ("tags", "Labels", "class", "token", ["O", "B"]),
        ("label", "Labels", "class", "sequence", ["no", "yes"]),
        ("score", "Values", "value", "sequence", None),
        ("steps", "Values", "value", "token", None),
        ("senses", "MultiLabels", "multilabel", "token", ["n", "v"]),
    ],
)
def test_default_target_encoders(column, encoder, kind, per, names):
    entry = learn_spec(TRAIN, {"words": None}, {column: None})["targets"][column]
    assert entry["class_path"] == f"seqkit.data.{encoder}"
    assert (entry["kind"], entry["per"], entry.get("names")) == (kind, per, names)
    assert entry["size"] == (1 if names is None else len(names))


def test_multi_labels_are_named_explicitly():
    spec = learn_spec(TRAIN, {"words": None}, {"topics": encoders.MultiLabels()})
    assert spec["targets"]["topics"]["per"] == "sequence"
    assert encode_dataset(TRAIN, spec, "train")["topics"][:] == [[1, 0], [1, 1]]


def test_the_spec_has_plain_types_and_rebuilds_the_encoders():
    inputs = {"words": Words(min_frequency=2), "text": None, "series": None}
    spec = learn_spec(TRAIN, inputs, {"tags": None, "label": None, "score": None})
    assert json.loads(json.dumps(spec)) == spec
    encoded = encode_dataset(TRAIN, json.loads(json.dumps(spec)), "train")
    assert encoded.column_names == ["words", "text", "series", "tags", "label", "score"]
    assert encoded.features == Features(
        {
            "words": List(Value("int32")),
            "text": List(Value("int32")),
            "series": List(List(Value("float32"), length=2)),
            "tags": List(Value("int64")),
            "label": Value("int64"),
            "score": Value("float32"),
        }
    )
    assert encoded["words"][:] == [[1, 0, 1], [0]]
    assert encoded["series"][:] == [[[-1.0, -1.0]], [[1.0, 1.0]]]
    assert target_encoder(spec, "label").decode(encoded["label"]) == ["yes", "no"]
    assert encoded.format["type"] is None


class TestErrors:
    def test_missing_columns(self):
        listed = ", ".join(TRAIN.column_names)
        with pytest.raises(ValueError, match=f"train has no column 'form'; it has {listed}"):
            learn_spec(TRAIN, {"form": None}, {})
        inputs = {"words": None, "characters": encoders.WordCharacters(column="forms")}
        with pytest.raises(ValueError, match="train has no column 'forms'; it has words, text"):
            learn_spec(TRAIN, inputs, {})

    def test_errors_in_fit_name_the_row(self):
        rows = Dataset.from_dict({"series": [[[0.0]]] * 1200 + [[[float("nan")]]]})
        with pytest.raises(ValueError, match=r"train row 1200 \(column 'series'\): channel 0 is nan at step 0"):
            learn_spec(rows, {"series": None}, {})

    def test_no_default_encoder(self):
        rows = Dataset.from_dict({"x": [{"a": 1}], "y": [[[1.5]]]})
        message = (
            r"input column 'x' contains .*, .* no default encoder; name an encoder \(Words, .* or another column"
        )
        with pytest.raises(ValueError, match=message):
            learn_spec(rows, {"x": None}, {})
        message = r"target column 'y' contains .*, .* no default encoder; name an encoder \(Labels, MultiLabels"
        with pytest.raises(ValueError, match=message):
            learn_spec(rows, {}, {"y": None})


def test_several_inputs_of_one_column():
    inputs = {
        "words": Words(min_frequency=2),
        "all": Words(column="words"),
        "characters": encoders.WordCharacters(min_frequency=1, column="words"),
        "shapes": encoders.WordShapes(column="words"),
    }
    spec = learn_spec(TRAIN, inputs, {"tags": None})
    assert json.loads(json.dumps(spec)) == spec
    assert [entry.get("column") for entry in spec["inputs"].values()] == [None, "words", "words", "words"]
    assert [entry["kind"] for entry in spec["inputs"].values()] == ["ids", "ids", "nested", "ids"]
    encoded = encode_dataset(TRAIN, spec, "train")
    assert encoded.column_names == [*inputs, "tags"]
    assert encoded[:] == {
        "words": [[1, 0, 1], [0]],
        "all": [[1, 2, 1], [3]],
        "characters": [[[1], [2], [1]], [[3]]],
        "shapes": [[1, 1, 1], [1]],
        "tags": [[0, 1, 0], [1]],
    }
    assert encoded.features["characters"] == List(List(Value("int32")))
    without = encode_dataset(TRAIN, {"inputs": {"all": spec["inputs"]["all"]}, "targets": {}}, "train")
    assert without.column_names == ["all"]


def test_the_depth_of_each_input():
    """It tells one row from several; a spec without it is one of an earlier version."""
    columns = dict.fromkeys(("text", "words", "ids", "wave", "series")) | {"senses": MultiLabels()}
    spec = learn_spec(TRAIN, columns, {"tags": None})
    found = {name: input_depth(spec, name) for name in columns}
    assert found == {"text": 0, "words": 1, "ids": 1, "wave": 1, "series": 2, "senses": 2}
    for entry in spec["inputs"].values():
        del entry["depth"]
    assert {name: input_depth(spec, name) for name in columns} == found
    assert input_depth(spec | {"targets": {}}, "words") == 0


def test_the_depth_of_arrays():
    rows = Dataset.from_dict({"x": [[[1.0, 2.0]], [[3.0, 4.0]]]}, Features({"x": Array2D((1, 2), "float32")}))
    assert input_depth(learn_spec(rows, {"x": encoders.Features()}, {}), "x") == 2
