import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.encoders import WordCharacters
from seqkit.data.encoders.base import Encoder

ROWS = [["the", "", "cat"], ["the", "hat"]]


def learned(rows, **options):
    return WordCharacters(**options).fit(datasets.Dataset.from_dict({"words": rows}), "words")


def test_ids_by_frequency_rare_and_unseen_characters_and_empty_words_unknown():
    encoder = learned(ROWS)
    # t four times, h three, a and e two each; c once, too rare.
    assert (encoder.vocabulary, encoder.size) == ("thae", 5)
    assert encoder.encode([["hat", "", "cat"], ["é", "the" * 10]]) == [
        [[2, 3, 1], [0], [0, 3, 1]],
        [[0], [1, 2, 4] * 10],
    ]


letters = st.text(st.sampled_from("abc é\U0001f600\0"), max_size=6)


@given(rows=st.lists(st.lists(letters, max_size=5), min_size=1, max_size=6).filter(any))
def test_decodes_what_training_had(rows):
    encoder = learned(rows, min_frequency=1)
    again = WordCharacters(**encoder.init_args())
    assert isinstance(again, Encoder)
    assert again.decode(again.encode(rows)) == [
        [word or "\N{REPLACEMENT CHARACTER}" for word in row] for row in rows
    ]
    assert encoder.size == 1 + len({letter for row in rows for word in row for letter in word})


def test_what_was_learned_stays():
    encoder = learned(ROWS, column="form")
    assert encoder.init_args() == {"min_frequency": 2, "vocabulary": "thae", "column": "form"}
    assert encoder.fit(datasets.Dataset.from_dict({"words": [["new"]]}), "words") is encoder


def test_errors_say_what_is_wrong():
    encoder = learned(ROWS)
    with pytest.raises(ValueError, match=r"row 1: there is no value \(null\) at position 0; fill it in or drop"):
        encoder.encode([["a"], [None]])
    with pytest.raises(ValueError, match=r"row 0: WordCharacters reads lists of words, not .*use Characters for"):
        encoder.encode(["text"])
    with pytest.raises(
        ValueError, match=r"this WordCharacters has no vocabulary yet; use what its fit\(\) returns"
    ):
        WordCharacters().size  # noqa: B018
    with pytest.raises(
        ValueError, match=r"this WordCharacters has no vocabulary yet; use what its fit\(\) returns"
    ):
        WordCharacters().ids  # noqa: B018
