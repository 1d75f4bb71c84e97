"""What strangers give: columns and options that the encoders refuse, with a message that says what to do."""

import re

import datasets
import numpy as np
import pytest

from seqkit.data import (
    Characters,
    Features,
    Ids,
    Labels,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    TokenizerFile,
    Values,
    WordCharacters,
    Words,
    learn_spec,
)
from seqkit.data.encoders.spec import input_encoder


def learn(values, encoder=None, *, target=False, feature=None):
    rows = {"words": [["a"], ["b"], ["c"]][: len(values)], "x": values}
    features = None
    if feature is not None:
        features = datasets.Features({"words": datasets.List(datasets.Value("string")), "x": feature})
    train = datasets.Dataset.from_dict(rows, features=features)
    if target:
        return learn_spec(train, {"words": None}, {"x": encoder})
    return learn_spec(train, {"x": encoder}, {})


UINT64 = datasets.List(datasets.Value("uint64"))


@pytest.mark.parametrize(
    ("values", "encoder", "message"),
    [
        ([[2**40], [1]], None, "train row 0 (column 'x'): id 1099511627776 at position 0 does not fit int32"),
        ([[0, 1], [3, 2**31]], None, "train row 1 (column 'x'): id 2147483648 at position 1 does not fit int32"),
        ([[0, 1], [3, 2**31 - 1]], None, "contains the id 2147483647: a model would need 2147483648"),
        ([[10_000_000]], Ids(), "contains the id 10000000: a model would need 10000001 embedding vectors"),
        ([[]], Ids(), "column 'x' contains no id to learn the size from; give Ids(size=...)"),
        ([[1, 2]], Words(), "Words reads lists of words, or texts, not List(Value('int64')"),
        ([[1, 2]], ShapedWords(), "ShapedWords reads lists of words, not List(Value('int64')"),
        (["a b"], ShapedWords(), "ShapedWords reads lists of words, not Value('string')"),
        ([["a"], [None]], Characters(), "train row 1 (column 'x'): there is no value (null) at position 0"),
        ([None, ["a"]], None, "train row 0 (column 'x'): there is no value (null)"),
        (["['a', 'b']", "['b']"], None, "column 'x' contains lists written as text, such as \"['a', 'b']\""),
        (["[1, 2, 3]", "[]"], None, "column 'x' contains lists written as text, such as '[1, 2, 3]'"),
        (["[1 2\n 3]", "[0.5]"], None, "column 'x' contains lists written as text"),
        (["['a']"], Words(), "read them with dataset.map and ast.literal_eval; if they are texts, name an encoder"),
        ([[[0.5]], [[0.5, 1.0]]], None, "train row 1 (column 'x'): 2 channels at step 0, expected 1"),
        ([[[0.5]], [[float("nan")]]], None, "train row 1 (column 'x'): channel 0 is nan at step 0; fill it in"),
        ([[[0.5]], [[float("inf")]]], None, "train row 1 (column 'x'): channel 0 is inf at step 0"),
        ([[b"a"]], None, "has no default encoder; name an encoder"),
        ([{"a": 1}], None, "has no default encoder; name an encoder"),
        ([1, 2], None, "has no default encoder; name an encoder"),
        (["text"], Ids(), "Ids reads lists of integers, not Value('string')"),
    ],
)
def test_inputs(values, encoder, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        learn(values, encoder)


@pytest.mark.parametrize(
    ("values", "encoder", "message"),
    [
        (["a", "a", "a"], None, "column 'x' has one class only, 'a': there is nothing to learn"),
        ([["a"], ["a"]], None, "column 'x' has one class only, 'a'"),
        ([True, True], None, "column 'x' has one class only, 'True'"),
        (["a", None], None, "column 'x' has one class only, 'a'"),
        ([None, None], Labels(), "column 'x' contains no label to learn; give names=[...] or use another column"),
        (["[1, 0]", "[0, 1]"], None, "column 'x' contains lists written as text, such as '[1, 0]'"),
        ([0.5, float("nan")], None, "train row 1 (column 'x'): the target is nan; fill it in or drop the row"),
        ([0.5, None], None, "train row 1 (column 'x'): there is no value (null)"),
        ([0.5, 1.0], Labels(), "a label is a string, an integer or a boolean, not Value('float64'); use Values"),
        (["1.5", "2"], Values(), "Values reads numbers or lists of numbers, not Value('string'); use Labels"),
        (["a", "b"], MultiLabels(), "MultiLabels reads lists of labels, not Value('string'); use Labels"),
    ],
)
def test_targets(values, encoder, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        learn(values, encoder, target=True)


def test_a_single_class_of_a_class_label():
    with pytest.raises(ValueError, match="column 'x' has one class only, 'a'"):
        learn([0, 0], target=True, feature=datasets.ClassLabel(names=["a"]))


def test_one_class_by_name():
    assert learn(["a", "a"], Labels(names=["a", "b"]), target=True)["targets"]["x"]["size"] == 2


def test_ids_of_64_bits():
    with pytest.raises(ValueError, match="id 4611686018427387904 at position 0 does not fit int32"):
        learn([[2**62]], feature=UINT64)
    assert learn([[7]], feature=UINT64)["inputs"]["x"]["size"] == 8


def test_text_that_begins_like_a_list():
    assert learn(["[a", "b]"])["inputs"]["x"]["kind"] == "ids"
    assert learn(["[1]", "one"])["inputs"]["x"]["kind"] == "ids"
    assert learn(["[1]", "[2]"], Characters())["inputs"]["x"]["kind"] == "ids"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Words(min_frequency=0), ValueError, "min_frequency=0: must be an integer of at least 1"),
        (lambda: Words(min_frequency=1.5), TypeError, "min_frequency=1.5: must be an integer of at least 1"),
        (lambda: Words(lowercase="no"), TypeError, "lowercase='no': must be True or False"),
        (lambda: Words(column=3), TypeError, "column=3: must be str or None, not int"),
        (lambda: Characters(min_frequency=True), TypeError, "min_frequency=True: must be an integer"),
        (lambda: WordCharacters(min_frequency=-1), ValueError, "min_frequency=-1: must be an integer"),
        (lambda: ShapedWords(suffix=-1), ValueError, "suffix=-1: must be an integer of at least 0"),
        (lambda: ShapedWords(suffix=None), TypeError, "suffix=None: must be an integer of at least 0"),
        (lambda: Ids(size=0), ValueError, "size=0: must be an integer from 1 to 2147483648"),
        (lambda: Ids(size=2**40), ValueError, "size=1099511627776: must be an integer from 1 to 2147483648"),
        (lambda: Ids(size=2.5), TypeError, "size=2.5: must be an integer from 1 to 2147483648"),
        (lambda: Features(standardize=1), TypeError, "standardize=1: must be True or False"),
        (lambda: Labels(names=["a", "b", "a"]), ValueError, "names contains 'a' twice; each label has one id"),
        (lambda: Labels(names="ab"), TypeError, "names='ab': must be a list of strings, or None"),
        (lambda: Labels(names=[0, 1]), TypeError, "names=[0, 1]: must be a list of strings, or None"),
        (lambda: Labels(ignore="_"), TypeError, "ignore='_': must be a list of strings, or None"),
        (lambda: MultiLabels(names=["a", "a"]), ValueError, "names contains 'a' twice"),
        (lambda: LabelSequences(names=["a", "a"]), ValueError, "names contains 'a' twice"),
        (lambda: LabelSequences(characters=1), TypeError, "characters=1: must be True or False"),
        (lambda: TokenizerFile(), ValueError, "TokenizerFile needs either the path"),
    ],
)
def test_options(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("encoder", "values", "message"),
    [
        (Words(), [["a"], ["b\ud800"]], "row 1: '\\ud800' at position 1 is half of a character (a lone surrogate)"),
        (
            Words(),
            [["a"], ["b", 3]],
            "row 1: 3 (int in 1 list), but row 0 has 'a' (str in 1 list); all values need the same type",
        ),
        (Words(), [["a"], [b"b"]], "Words reads lists of words, or texts, not List(Value('binary'))"),
        (Words(), [["a"], "b"], "row 1: "),
    ],
)
def test_python_objects(encoder, values, message):
    fitted = encoder.fit(datasets.Dataset.from_dict({"x": [["a"]]}), "x")
    with pytest.raises(ValueError, match=re.escape(message)):
        fitted.encode(values)


def test_a_spec_with_arguments_of_another_version():
    spec = learn([["a"]])
    spec["inputs"]["x"]["init_args"]["case"] = "lower"
    with pytest.raises(ValueError, match=r"the data spec's Words cannot be made: .*'case'; was it written"):
        input_encoder(spec, "x")


def test_numbers_of_numpy_as_options():
    assert type(Words(min_frequency=np.int64(2)).min_frequency) is int
    assert type(Ids(size=np.int32(5)).size) is int
