import copy
import re

import datasets
import pytest

from seqkit.data import learn_spec
from seqkit.data.encoders import check_spec

ROWS = datasets.Dataset.from_dict({"words": [["a", "b"], ["b"]], "tags": [["x", "y"], ["x"]]})


def make(change=None):
    spec = copy.deepcopy(learn_spec(ROWS, {"words": None}, {"tags": None}))
    if change is not None:
        change(spec)
    return spec


def test_a_learned_spec():
    check_spec(make())


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (None, TypeError, "spec is a NoneType, not a dict; give `data.spec`"),
        ("spec.json", TypeError, "spec is a str, not a dict"),
        ([make()], TypeError, "spec is a list, not a dict"),
        ({}, ValueError, "spec has no 'inputs', only []"),
        ({"inputs": make()["inputs"]}, ValueError, "spec has no 'targets', only ['inputs']"),
        ({"words": "ids"}, ValueError, "spec has no 'inputs', only ['words']"),
        ({"inputs": ["words"], "targets": {}}, TypeError, "spec['inputs'] is a list, not a dict"),
        ({"inputs": {}, "targets": {}}, ValueError, "spec['inputs'] is empty"),
        ({"inputs": {"words": "Words"}, "targets": {}}, TypeError, "spec['inputs']['words'] is a str, not a dict"),
        ({"inputs": {"words": {}}, "targets": {}}, ValueError, "spec['inputs']['words'] has no 'class_path'"),
    ],
)
def test_garbage(spec, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check_spec(spec)


@pytest.mark.parametrize(
    ("group", "column", "key", "value", "error", "message"),
    [
        ("inputs", "words", "class_path", 3, TypeError, "['class_path'] is 3, not a str"),
        ("inputs", "words", "init_args", None, TypeError, "['init_args'] is None, not a dict"),
        ("inputs", "words", "kind", "idz", ValueError, "['kind'] is 'idz', not one of ids, nested, features"),
        ("inputs", "words", "size", 2.5, TypeError, "['size'] is 2.5, not a int"),
        ("inputs", "words", "size", True, TypeError, "['size'] is True, not a int"),
        ("inputs", "words", "size", 0, ValueError, "['size'] is 0; it must be at least 1"),
        ("targets", "tags", "per", "word", ValueError, "['per'] is 'word', not one of token, sequence, unaligned"),
        ("targets", "tags", "per", None, TypeError, "['per'] is None, not a str"),
    ],
)
def test_wrong_values(group, column, key, value, error, message):
    spec = make(lambda spec: spec[group][column].update({key: value}))
    with pytest.raises(error, match=re.escape(f"spec[{group!r}][{column!r}]{message}")):
        check_spec(spec)


@pytest.mark.parametrize("key", ["class_path", "init_args", "kind", "size", "per"])
def test_missing_keys(key):
    spec = make(lambda spec: spec["targets"]["tags"].pop(key))
    with pytest.raises(ValueError, match=rf"has no '{key}'; was it written by another version of seqkit"):
        check_spec(spec)
