import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from seqkit.data.encoders import Characters, RowError, WordCharacters

CHARACTERS = st.characters(exclude_categories=["Cs"])  # UTF-8 cannot encode lone surrogates
LETTERS = st.text(st.sampled_from("abc é\U0001f600\0"), max_size=6)

ROWS = [["the", "", "cat"], ["the", "hat"]]


def fitted(encoder, values):
    return encoder.fit(Dataset.from_dict({"x": values}), "x")


def rebuilt(encoder):
    return type(encoder)(**encoder.init_args())


class TestCharacters:
    TEXT = "a b\n\tä😀á\r\n"

    def test_one_id_per_code_point(self):
        characters = fitted(Characters(), [self.TEXT, "a"])
        ids = characters.encode([self.TEXT, "z", ""])
        assert len(ids[0]) == len(self.TEXT)
        assert 0 not in ids[0]
        assert ids[1:] == [[0], []]
        assert characters.decode(ids[:1]) == [self.TEXT]
        assert rebuilt(characters).encode([self.TEXT]) == ids[:1]

    @given(st.text(CHARACTERS))
    def test_ids_are_those_of_the_tokenizer(self, text):
        characters = fitted(Characters(), [self.TEXT])
        tokenizer = Tokenizer.from_str(characters.init_args()["tokenizer"])
        assert characters.encode([text]) == [tokenizer.encode(text).ids]

    def test_frequency(self):
        characters = fitted(Characters(min_frequency=2), ["aab", "b c"])
        assert characters.encode(["abc "]) == [[1, 2, 0, 0]]

    def test_lists_of_characters(self):
        characters = fitted(Characters(), ["ab"])
        assert characters.encode([["a", "b"], ["b"]]) == characters.encode(["ab", "b"])
        with pytest.raises(
            RowError, match="row 1: 'ab' at position 1 is not one character; use Words for lists of words"
        ):
            characters.encode([["a"], ["b", "ab"]])

    def test_other_types(self):
        with pytest.raises(RowError, match="Characters reads strings or lists of characters, not"):
            fitted(Characters(), [1, 2])


class TestWordCharacters:
    def test_ids_by_frequency(self):
        encoder = fitted(WordCharacters(), ROWS)
        # t four times, h three, a and e two each; c once, too rare.
        assert (encoder.vocabulary, encoder.size) == ("thae", 5)
        assert encoder.encode([["hat", "", "cat"], ["é", "the" * 10]]) == [
            [[2, 3, 1], [0], [0, 3, 1]],
            [[0], [1, 2, 4] * 10],
        ]

    @given(rows=st.lists(st.lists(LETTERS, max_size=5), min_size=1, max_size=6).filter(any))
    def test_decodes_what_it_encodes(self, rows):
        encoder = fitted(WordCharacters(min_frequency=1), rows)
        again = rebuilt(encoder)
        assert again.decode(again.encode(rows)) == [
            [word or "\N{REPLACEMENT CHARACTER}" for word in row] for row in rows
        ]
        assert encoder.size == 1 + len({letter for row in rows for word in row for letter in word})

    def test_fit_keeps_a_given_vocabulary(self):
        encoder = fitted(WordCharacters(column="form"), ROWS)
        assert encoder.init_args() == {"min_frequency": 2, "vocabulary": "thae", "column": "form"}
        assert fitted(encoder, [["new"]]) is encoder

    def test_errors(self):
        encoder = fitted(WordCharacters(), ROWS)
        with pytest.raises(
            ValueError, match=r"row 1: there is no value \(null\) at position 0; fill it in or drop"
        ):
            encoder.encode([["a"], [None]])
        with pytest.raises(
            ValueError, match=r"row 0: WordCharacters reads lists of words, not .*use Characters for"
        ):
            encoder.encode(["text"])
        for attribute in ("size", "ids"):
            with pytest.raises(ValueError, match=r"this WordCharacters has no vocabulary yet; call fit\(\)"):
                getattr(WordCharacters(), attribute)
