import json
import re

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from seqkit.data.encoders import Ids, Words, encode_dataset, encode_table, learn_spec
from seqkit.data.encoders.encode import encoder_key
from tests import processes

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


def test_a_spec_that_was_saved_finds_the_cached_rows(tmp_path):
    TRAIN.save_to_disk(tmp_path)
    spec = learn_spec(TRAIN, {"words": None}, {"tags": None})
    rows = [
        encode_dataset(Dataset.load_from_disk(tmp_path), given, "train")
        for given in (spec, json.loads(json.dumps(spec)))
    ]
    assert rows[0].cache_files == rows[1].cache_files


def test_rows_that_were_written_again_are_encoded_again(tmp_path, monkeypatch):
    """`datasets` gives them the same fingerprint, because the function has the same name."""
    spec = learn_spec(TRAIN, {"words": None}, {})
    found = []
    for replaced in ("a", "b"):
        monkeypatch.setitem(globals(), "_REPLACED", replaced)
        TRAIN.map(_replace).save_to_disk(tmp_path)
        found.append(encode_dataset(Dataset.load_from_disk(tmp_path), spec, "train")["words"][:])
    assert found == [[[0, 2, 0], [3]], [[1, 0, 1], [3]]]


_REPLACED = ""


def _replace(row):
    return {"words": ["" if word == _REPLACED else word for word in row["words"]]}


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
    message = r"test row 1400 \(column 'label'\): label 'maybe' is not one of the known labels: no, yes"
    with pytest.raises(ValueError, match=message):
        encode_dataset(rows, spec, "test")


def test_errors_name_the_source_column():
    spec = learn_spec(TRAIN, {"other": Words(column="words")}, {})
    broken = Dataset.from_dict({"words": [["a"], [None]]})
    with pytest.raises(ValueError, match=r"test row 1 \(column 'words'\): there is no value \(null\) at"):
        encode_dataset(broken, spec, "test")


def test_class_path_of_another_class():
    spec = {"inputs": {"words": {"class_path": "seqkit.data.Files", "init_args": {}}}, "targets": {}}
    with pytest.raises(ValueError, match=r"'seqkit\.data\.Files' is not a subclass of seqkit\.data\.Encoder"):
        encode_dataset(TRAIN, spec, "train")


_ENCODER = """
from pathlib import Path
from own_base import Base

class Own(Base):
    kind, item_feature, size = "ids", datasets.Value("int64"), 1000

    def __init__(self, table):
        self.table = table

    def fit(self, dataset, column):
        return self

    def encode_array(self, values, feature):
        with open("calls", "a") as file:
            file.write("x")
        number = self.number() + int(Path(self.table).read_text())
        return pa.array([[number] * len(row) for row in values.to_pylist()])
"""
_BASE = """
from own_rules import NUMBER
from seqkit.data import Encoder

class Base(Encoder):
    def number(self):
        return NUMBER
"""
_SCRIPT = """
import sys
import datasets
from own import Own
from seqkit.data.encoders import encode_dataset, learn_spec

rows = datasets.Dataset.load_from_disk("rows")
print(encode_dataset(rows, learn_spec(rows, {"words": Own("table.txt")}, {}), "train")["words"][:])
"""


def test_an_edited_encoder_encodes_again_in_a_new_process(tmp_path):
    files = {
        "own.py": "import datasets, pyarrow as pa" + _ENCODER,
        "own_base.py": _BASE,
        "own_rules.py": "NUMBER = 1\n",
        "table.txt": "10",
        "run.py": _SCRIPT,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    TRAIN.save_to_disk(tmp_path / "rows")

    def run():
        (tmp_path / "calls").write_text("")
        found = json.loads(processes.run("run.py", cwd=tmp_path).stdout)
        return found, bool((tmp_path / "calls").read_text())

    assert run() == ([[11, 11, 11], [11]], True)
    assert run() == ([[11, 11, 11], [11]], False)
    (tmp_path / "own_rules.py").write_text("NUMBER = 2\n")
    (tmp_path / "table.txt").write_text("20")
    (tmp_path / "own.py").write_text(files["own.py"].replace("self.number() +", "self.number() + 100 +"))
    (tmp_path / "own_base.py").write_text(_BASE.replace("return NUMBER", "return -NUMBER"))
    assert run() == ([[118, 118, 118], [118]], True)


class Own(Words):
    """An encoder whose constructor makes more of its argument than the argument says."""

    extra: object = 1

    def __init__(self, tokenizer=None):
        super().__init__(tokenizer=tokenizer)
        self.made = type(self).extra


def test_the_key_of_an_encoder(tmp_path):
    assert encoder_key(Words()) == encoder_key(Words()) != encoder_key(Words(lowercase=True))
    assert encoder_key(Words()) != encoder_key(Ids())
    (tmp_path / "file").write_text("1")
    keys = [encoder_key(Own()), encoder_key(Own(str(tmp_path / "file")))]
    assert keys == [encoder_key(Own()), encoder_key(Own(str(tmp_path / "file")))]
    (tmp_path / "file").write_text("2")
    assert encoder_key(Own(str(tmp_path / "file"))) not in keys


def test_the_state_of_an_encoder_is_in_its_key(monkeypatch):
    before = encoder_key(Own())
    monkeypatch.setattr(Own, "extra", [1, 2])
    assert encoder_key(Own()) != before
    monkeypatch.setattr(Own, "extra", (number for number in range(3)))  # has no hash
    assert encoder_key(Own()) != encoder_key(Own())
