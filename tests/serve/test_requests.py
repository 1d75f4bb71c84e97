import pytest

from seqkit.serve.requests import Limits, RequestReader, TooLarge

LIMITS = Limits(rows=3, tokens=10, bytes=1000)
WORDS = RequestReader({"inputs": {"words": {}}}, LIMITS)
PAIR = RequestReader(
    {"inputs": {"one": {"column": "first"}, "shapes": {"column": "first"}, "second": {"unaligned": True}}}, LIMITS
)


def test_one_row_and_many():
    one = WORDS.read({"row": ["a", "b"]})
    assert one == ([{"words": ["a", "b"]}], 2, False, True)
    many = WORDS.read({"rows": [{"words": ["a", "b"]}, ["c"]], "scores": True})
    assert many == ([{"words": ["a", "b"]}, {"words": ["c"]}], 3, True, False)
    assert WORDS.read({"rows": []}).rows == []
    assert WORDS.read({"row": "text"}).tokens == 4  # before encoding, a character is a token
    assert WORDS.read({"rows": [{"words": None}, {}, 5]}).tokens == 3  # the model refuses these


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], r'the body is a list; send an object, \{"row": \.\.\.\} or \{"rows": \[\.\.\.\]\}'),
        ("text", "the body is a text; send an object"),
        (None, "the body is null; send an object"),
        (b"row=1", "the body is not declared as JSON; send the header Content-Type: application/json"),
        ({}, "the body has neither row nor rows; give one row as row, or a list of rows as rows"),
        ({"row": 1, "rows": []}, "the body has both row and rows"),
        ({"rwos": []}, r"the body has a key 'rwos'; did you mean 'rows'\?; it may have row or rows, and scores"),
        ({"rows": "text"}, "rows is a text; give a list of rows, or one row as row"),
        ({"rows": 1.5}, "rows is a number; give a list of rows"),
        ({"row": [], "scores": "yes"}, "scores is a text; give true or false"),
    ],
)
def test_another_form(body, message):
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        WORDS.read(body)
    assert not isinstance(raised.value, TooLarge)


def test_limits():
    WORDS.read({"rows": [["a"] * 10]})
    with pytest.raises(TooLarge, match=r"^the request has 4 rows, and the server takes 3 at once; .*--max_rows$"):
        WORDS.read({"rows": [[]] * 4})
    with pytest.raises(TooLarge, match=r"has 11 tokens, and the server takes 10 at once; .*--max_request_tokens$"):
        WORDS.read({"row": {"words": ["a"] * 11}})


def test_several_columns():
    row = {"first": ["a", "b"], "second": ["c"]}
    assert PAIR.read({"row": row}) == ([row], 3, False, True)
    with pytest.raises(ValueError, match=r"^row 1: a text, but the model reads the columns first, second;"):
        PAIR.read({"rows": [row, "text"]})
