import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from seqkit.data.encoders import Characters, RowError, TokenizerFile, Words

CHARACTERS = st.characters(exclude_categories=["Cs"])  # lone surrogates are no text

WORDS = [["The", "cat", "the"], ["THE", "cat", ""], ["10 000", "\n", "dog"]]


def fitted(encoder, values):
    return encoder.fit(Dataset.from_dict({"x": values}), "x")


def rebuilt(encoder):
    return type(encoder)(**encoder.init_args())


class TestWords:
    def test_one_id_per_word_whatever_its_characters(self):
        words = fitted(Words(), WORDS)
        assert words.size == 9
        ids = words.encode([*WORDS, ["unseen", " cat", "<unk>"], []])
        assert [len(row) for row in ids] == [3, 3, 3, 3, 0]
        assert len({number for row in ids[:3] for number in row}) == 8
        assert 0 not in {number for row in ids[:3] for number in row}
        assert ids[3] == [0, 0, 0]
        assert words.decode(ids[:3]) == WORDS
        assert rebuilt(words).encode(WORDS) == ids[:3]

    def test_frequency_and_case(self):
        words = fitted(Words(min_frequency=2, lowercase=True), WORDS)
        assert words.size == 3
        assert words.encode([["tHe", "CAT", "dog"]]) == [[1, 2, 0]]

    def test_ids_are_those_of_the_tokenizer(self):
        words = fitted(Words(lowercase=True), WORDS)
        tokenizer = Tokenizer.from_str(words.init_args()["tokenizer"])
        for word in ("The", "10 000", "\n", "unseen"):
            assert words.encode([[word]]) == [tokenizer.encode(word).ids]

    def test_learns_the_same_from_any_order(self):
        assert fitted(Words(), WORDS).init_args() == fitted(Words(), WORDS[::-1]).init_args()

    @given(st.lists(st.lists(st.text(CHARACTERS, max_size=3)), min_size=1, max_size=4))
    def test_no_word_disappears(self, rows):
        words = fitted(Words(), [*rows, ["a"]])
        assert words.decode(words.encode(rows)) == rows

    def test_splits_texts_into_words_and_punctuation(self):
        words = fitted(Words(lowercase=True), ["A cat.", "The cat sat"])
        assert words.decode(words.encode(["A cat, sat"])) == [["a", "cat", "<unk>", "sat"]]

    def test_wants_words(self):
        words = fitted(Words(), WORDS)
        with pytest.raises(RowError, match=r"Words reads lists of words, or texts, not .*; name another encoder"):
            words.encode([1])
        with pytest.raises(
            RowError, match=r"row 1: there is no value \(null\) at position 1; fill it in or drop the row"
        ):
            words.encode([["a"], ["a", None]])
        with pytest.raises(RowError, match=r"row 1: there is no value \(null\); fill it in or drop the row"):
            words.encode([["a"], None])

    def test_needs_a_vocabulary(self):
        with pytest.raises(ValueError, match=r"this Words has no vocabulary yet; use what its fit\(\) returns"):
            _ = Words().size


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

    def test_wants_text(self):
        with pytest.raises(RowError, match="Characters reads strings or lists of characters, not"):
            fitted(Characters(), [1, 2])


class TestTokenizerFile:
    @pytest.fixture
    def path(self, tmp_path):
        words = fitted(Words(), [["to", "be"]])
        tokenizer = Tokenizer.from_str(words.init_args()["tokenizer"])
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.enable_padding(length=9)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return tmp_path / "tokenizer.json"

    def test_ids_without_padding_and_without_the_file(self, path):
        encoder = fitted(TokenizerFile(str(path)), ["to be"])
        args = encoder.init_args()
        path.unlink()
        again = TokenizerFile(**args)
        assert again.size == 3
        assert again.encode(["to be or", "be", ""]) == [[2, 1, 0], [1], []]
        assert again.decode([[2, 1]]) == ["to be"]

    def test_wants_text(self, path):
        with pytest.raises(RowError, match=r"TokenizerFile reads strings, not .*; use Words for lists of words"):
            TokenizerFile(str(path)).encode([["to", "be"]])

    def test_needs_a_file(self):
        with pytest.raises(
            ValueError, match="TokenizerFile needs the path of a tokenizer's JSON file, or its content"
        ):
            TokenizerFile()


def test_encodes_arrays_of_any_sort():
    words = fitted(Words(), WORDS)
    assert words.encode([np.array(["cat", "dog"])]) == words.encode([["cat", "dog"]])
