import re

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data.encoders import Words, encode_dataset, encode_table, learn_spec

TRAIN = Dataset.from_dict(
    {"words": [["a", "b", "a"], ["c"]], "text": ["ab", "c"], "tags": [[0, 1, 0], [1]], "label": ["yes", "no"]},
    Features(
        {
            "words": List(Value("string")),
            "text": Value("string"),
            "tags": List(ClassLabel(names=["O", "B"])),
            "label": Value("string"),
        }
    ),
)


def test_prediction_needs_no_targets():
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    rows = encode_dataset(TRAIN.select_columns("words"), spec, "predict", with_targets=False)
    assert rows.column_names == ["words"]


def test_views_and_formats():
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    whole = encode_dataset(TRAIN, spec, "train")["words"]
    view = encode_dataset(TRAIN.select([1, 0]).with_format("numpy"), spec, "train")["words"]
    assert view[:] == whole[:][::-1]


def test_empty_split():
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    rows = encode_dataset(TRAIN.select([]), spec, "test")
    assert len(rows) == 0
    assert rows.features["words"] == List(Value("int32"))


def test_the_encoded_split_is_cached(tmp_path):
    TRAIN.save_to_disk(tmp_path)
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    rows = [encode_dataset(Dataset.load_from_disk(tmp_path), spec, split) for split in ("train", "test")]
    assert rows[0].cache_files
    assert rows[0].cache_files == rows[1].cache_files
    other = learn_spec(TRAIN, {"words": Words(lowercase=True)}, {"tags": None})
    assert encode_dataset(Dataset.load_from_disk(tmp_path), other, "train").cache_files != rows[0].cache_files


def test_tables_of_a_stream():
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    options = {"spec": spec, "split": "train", "features": TRAIN.features, "with_targets": True}
    table = encode_table(TRAIN.with_format("arrow")[:], 10, **options)
    assert table.to_pydict() == encode_dataset(TRAIN, spec, "train")[:]
    broken = Dataset.from_dict({"words": [["a"], ["b"]], "tags": [[0], [0, 1]]}).with_format("arrow")[:]
    with pytest.raises(ValueError, match="train row 11: 1 tokens in 'words' but 2 targets in 'tags'"):
        encode_table(broken, 10, **options)
    with pytest.raises(ValueError, match="train has no column 'tags'; it has words"):
        encode_table(broken.select(["words"]), 10, **options)


def test_missing_column():
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    with pytest.raises(ValueError, match="test has no column 'tags'; it has words, text"):
        encode_dataset(TRAIN.select_columns(["words", "text"]), spec, "test")


@pytest.mark.parametrize(("tokens", "targets"), [(3, 2), (2, 3)])
def test_target_of_another_length(tokens, targets):
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    rows = Dataset.from_dict({"words": [["a"], ["a"] * tokens], "tags": [["O"], ["O"] * targets]})
    message = (
        f"validation row 1: {tokens} tokens in 'words' but {targets} targets in 'tags'; a target"
        " per token needs one for each"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        encode_dataset(rows, spec, "validation")


def test_errors_name_the_row_of_the_split():
    spec = learn_spec(TRAIN, {"words": None}, {"label": None})
    rows = Dataset.from_dict({"words": [["a"]] * 1500, "label": ["yes"] * 1400 + ["maybe"] * 100})
    message = "test row 1400, column 'label': label 'maybe' is not one of the known labels: no, yes"
    with pytest.raises(ValueError, match=message):
        encode_dataset(rows, spec, "test")


def test_errors_name_the_source_column():
    spec = learn_spec(TRAIN, {"other": Words(column="words")}, {})
    broken = Dataset.from_dict({"words": [["a"], [None]]})
    with pytest.raises(ValueError, match=r"test row 1, column 'words': there is no value \(null\) at position 0"):
        encode_dataset(broken, spec, "test")


def test_class_path_of_another_class():
    spec = {"inputs": {"words": {"class_path": "collections.OrderedDict", "init_args": {}}}, "targets": {}}
    with pytest.raises(TypeError, match=r"collections\.OrderedDict is not a subclass of seqkit\.data\.Encoder"):
        encode_dataset(TRAIN, spec, "train")
