import datasets
import pytest

from seqkit.data.encoders import ShapedWords, WordShapes
from seqkit.data.encoders.base import Encoder


def encoded(encoder, rows):
    column = datasets.Dataset.from_dict({"words": rows})
    feature = column.features["words"]
    return encoder.encode_array(column.with_format("arrow")[:]["words"].combine_chunks(), feature).to_pylist()


@pytest.fixture
def learned():
    rows = [["the", "Ann", "the"], ["Lee", "ran", "4u", "McX"], ["walked", "the"]]
    return ShapedWords(min_frequency=2).fit(datasets.Dataset.from_dict({"words": rows}), "words")


def test_rare_and_unknown_words_share_the_id_of_their_shape(learned):
    # "the" is frequent; Ann and Lee are Xx, ran and walked are x; 9x and XxX occur once and are unknown.
    assert learned.decode([[0, 1, 2, 3]]) == [["<unk>", "the", "\0Xx", "\0x"]]
    assert learned.size == 4
    assert encoded(learned, [["the", "Tokyo", "sat"], ["5x", "The"]]) == [[1, 2, 3], [0, 2]]


def test_last_letters_of_lower_cased_words():
    shape = ShapedWords(suffix=2).shape
    assert [shape(word) for word in ("walking", "Walking", "@a_1", "é")] == ["\0x-ng", "\0Xx", "\0@x_9-_1", "\0x-é"]


def test_init_args_rebuild_the_encoder(learned):
    again = ShapedWords(**learned.init_args())
    assert isinstance(again, Encoder)
    assert encoded(again, [["the", "Bob"]]) == encoded(learned, [["the", "Bob"]])
    assert again.fit(datasets.Dataset.from_dict({"words": [["new"]]}), "words") is again


def test_not_fitted():
    with pytest.raises(ValueError, match=r"no vocabulary yet; call fit\(\)"):
        ShapedWords().ids  # noqa: B018


def test_word_shapes():
    rows = [["the", "Ann", "the"], ["Lee", "ran", "4u", "McX"]]
    learned = WordShapes(column="words").fit(datasets.Dataset.from_dict({"words": rows}), "words")
    assert learned.decode([[0, 1, 2]]) == [["<unk>", "\0x", "\0Xx"]]
    assert learned.size == 3
    assert encoded(WordShapes(**learned.init_args()), [["the", "Tokyo"], ["5x", "sat"]]) == [[1, 2], [0, 1]]
    assert learned.init_args()["column"] == "words"
