import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from seqkit.data.encoders import Ids, RowError, Words

CHARACTERS = st.characters(exclude_categories=["Cs"])  # UTF-8 cannot encode lone surrogates

WORDS = [["The", "cat", "the"], ["THE", "cat", ""], ["10 000", "\n", "dog"]]


def fitted(encoder, values, feature=None):
    features = None if feature is None else Features({"x": feature})
    return encoder.fit(Dataset.from_dict({"x": values}, features), "x")


def rebuilt(encoder):
    return type(encoder)(**encoder.init_args())


def test_one_id_per_word():
    words = fitted(Words(), WORDS)
    assert words.size == 9
    ids = words.encode([*WORDS, ["unseen", " cat", "<unk>"], []])
    assert [len(row) for row in ids] == [3, 3, 3, 3, 0]
    assert len({number for row in ids[:3] for number in row}) == 8
    assert 0 not in {number for row in ids[:3] for number in row}
    assert ids[3] == [0, 0, 0]
    assert words.decode(ids[:3]) == WORDS
    assert rebuilt(words).encode(WORDS) == ids[:3]


def test_frequency_and_case():
    words = fitted(Words(min_frequency=2, lowercase=True), WORDS)
    assert words.size == 3
    assert words.encode([["tHe", "CAT", "dog"]]) == [[1, 2, 0]]


def test_ids_are_those_of_the_tokenizer():
    words = fitted(Words(lowercase=True), WORDS)
    tokenizer = Tokenizer.from_str(words.init_args()["tokenizer"])
    for word in ("The", "10 000", "\n", "unseen"):
        assert words.encode([[word]]) == [tokenizer.encode(word).ids]


def test_does_not_depend_on_the_order_of_rows():
    assert fitted(Words(), WORDS).init_args() == fitted(Words(), WORDS[::-1]).init_args()


@given(st.lists(st.lists(st.text(CHARACTERS, max_size=3)), min_size=1, max_size=4))
def test_decodes_what_it_encodes(rows):
    words = fitted(Words(), [*rows, ["a"]])
    assert words.decode(words.encode(rows)) == rows


def test_texts_are_split_into_words_and_punctuation():
    words = fitted(Words(lowercase=True), ["A cat.", "The cat sat"])
    assert words.decode(words.encode(["A cat, sat"])) == [["a", "cat", "<unk>", "sat"]]


def test_other_types_and_nulls():
    words = fitted(Words(), WORDS)
    with pytest.raises(
        RowError, match=r"Words reads lists of words, or texts, not .*; give such values, or use another"
    ):
        words.encode([1])
    with pytest.raises(
        RowError, match=r"row 1: there is no value \(null\) at position 1; fill it in or drop the row"
    ):
        words.encode([["a"], ["a", None]])
    with pytest.raises(RowError, match=r"row 1: there is no value \(null\); fill it in or drop the row"):
        words.encode([["a"], None])


def test_not_fitted():
    with pytest.raises(ValueError, match=r"this Words has no vocabulary yet; call fit\(\)"):
        _ = Words().size


def test_encodes_arrays():
    words = fitted(Words(), WORDS)
    assert words.encode([np.array(["cat", "dog"])]) == words.encode([["cat", "dog"]])


class TestIds:
    def test_size_is_the_largest_id_plus_one(self):
        ids = fitted(Ids(), [[3, 1], [], [0]])
        assert ids.size == 4
        assert ids.init_args() == {"size": 4}
        assert ids.encode([[3, 0], []]) == [[3, 0], []]

    @pytest.mark.parametrize("number", [4, -1])
    def test_id_out_of_range(self, number):
        message = rf"row 1: id {number} at position 2 is not in 0 to 3; give Ids\(size=\.\.\.\)"
        with pytest.raises(RowError, match=message):
            Ids(4).encode([[1], [0, 1, number]])

    def test_nothing_to_learn(self):
        with pytest.raises(ValueError, match=r"column 'x' contains no id .*; give Ids\(size=\.\.\.\)"):
            fitted(Ids(), [[], []], List(Value("int64")))

    def test_other_types(self):
        with pytest.raises(RowError, match="Ids reads lists of integers, not"):
            fitted(Ids(), [[1.5]])
        with pytest.raises(RowError, match="Ids reads lists of integers, not"):
            fitted(Ids(), [1, 2])
