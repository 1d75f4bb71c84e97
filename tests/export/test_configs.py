"""Every shipped config with tags, labels or values: small sizes, generated data, random weights."""

import datasets
import pytest
import yaml

from seqkit import SequenceDataModule
from seqkit.class_paths import class_at
from seqkit.tasks.checkpoints.parts import build_arguments
from tests.export.cases import check
from tests.test_configs import CONFIGS, source_for

SIZES = {"hidden_size": 6, "embedding_dim": 5, "output_size": 7}
LENGTHS = [2, 1, 3, 3, 90, 1, 2]
NAMES = [
    "cmapss_rul",
    "conll2003_ner",
    "ewt_upos",
    "go_emotions",
    "highlight",
    "imdb",
    "japanese_vowels",
    "snli",
]


def small(value):
    """Make layers small, and write a class that has no arguments as a part."""
    if isinstance(value, dict):
        return {
            key: SIZES[key] if key in SIZES else each if key == "class_path" else small(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return list(map(small, value))
    return {"class_path": value} if isinstance(value, str) and value.startswith("seqkit.") else value


def from_config(name, folder):
    """Build a config's model with random weights, and its data."""
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    data = config["data"]
    for option in source_for(name, folder):
        key, _, value = option.removeprefix("--data.source").partition("=")
        if key:
            data["source"].setdefault("init_args", {})[key.removeprefix(".init_args.")] = yaml.safe_load(value)
        else:
            data["source"] = {"class_path": value, "init_args": {}}
    module = SequenceDataModule(**build_arguments(SequenceDataModule, data, trust=(), place="data"))
    cls = class_at(config["model"]["class_path"])
    arguments = build_arguments(cls, small(config["model"]["init_args"]), trust=(), place="model")
    return cls(module.spec, **arguments), module


def resized(value, length):
    """Make a text of words, or a list, of another length."""
    if isinstance(value, str):
        words = value.split()
        return " ".join(words[i % len(words)] for i in range(length))
    return [value[i % len(value)] for i in range(length)]


def rows_of(data):
    """Rows of all lengths, from the test split."""
    table = datasets.Dataset.from_list([data.splits["test"][i % 8] for i in range(len(LENGTHS))])
    columns = {entry.get("column", name) for name, entry in data.spec["inputs"].items()}
    return {
        column: [resized(value, length) for value, length in zip(table[column], LENGTHS, strict=True)]
        for column in sorted(columns)
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_row_gets_what_the_model_gives_it_alone(name, tmp_path):
    model, data = from_config(name, tmp_path)
    check(model, tmp_path / "model.onnx", rows_of(data))
