import pytest
from datasets import Dataset

from seqkit.data import Characters, ShapedWords, WordCharacters, Words, learn_spec
from seqkit.data.text_rows import text_reader

ROWS = Dataset.from_dict(
    {
        "text": ["some text", "more"],
        "words": [["some", "words"], ["more"]],
        "letters": [["a", "b"], ["c"]],
        "series": [[[0.5, 1.0], [2.0, 3.0]], [[1.0, 1.0]]],
        "ids": [[1, 2], [0]],
    }
)


def reader(inputs, unaligned=()):
    return text_reader(learn_spec(ROWS, inputs, {}, unaligned))


@pytest.mark.parametrize(
    ("inputs", "text", "row"),
    [
        ({"text": None}, " two  words ", {"text": " two  words "}),
        ({"text": Words()}, "don't split", {"text": "don't split"}),
        ({"words": None}, " two\twords\u3000here ", {"words": ["two", "words", "here"]}),
        ({"words": ShapedWords()}, "two words", {"words": ["two", "words"]}),
        ({"letters": Characters()}, "a b", {"letters": ["a", " ", "b"]}),
        ({"words": None, "inner": WordCharacters(column="words")}, "a b", {"words": ["a", "b"]}),
        ({"series": None}, "[[1, 2], [3, 4]]", {"series": [[1, 2], [3, 4]]}),
        ({"ids": None}, '{"ids": [1, 2]}', {"ids": [1, 2]}),
        ({"text": None, "words": None}, '{"text": "a", "words": ["b"]}', {"text": "a", "words": ["b"]}),
    ],
)
def test_a_text_is_read_as_the_inputs_were_in_training(inputs, text, row):
    assert reader(inputs, [*inputs][1:] if "text" in inputs and len(inputs) > 1 else ())(text) == row


@pytest.mark.parametrize(
    ("inputs", "text", "message"),
    [
        (
            {"series": None},
            "1.0 2.0",
            r"'1.0 2.0' is no JSON \(.*\); the model reads series, so give JSON, such as",
        ),
        (
            {"text": None, "words": None},
            "a",
            r'the model reads text and words, .* such as \{"text": …, "words": …\}$',
        ),
        ({"text": None, "words": None}, "[1]", r"'\[1\]' is no JSON object; the model reads text and words"),
    ],
)
def test_a_text_that_is_no_row_says_what_is_one(inputs, text, message):
    with pytest.raises(ValueError, match=message):
        reader(inputs, [*inputs][1:])(text)


def test_the_form_of_a_series_is_named():
    with pytest.raises(ValueError, match="or the value alone, a list of steps with 2 numbers each"):
        reader({"series": None})("x")
    with pytest.raises(ValueError, match=r"or the value alone, such as \[0\.5, 1\.0\]"):
        reader({"ids": None})("x")
