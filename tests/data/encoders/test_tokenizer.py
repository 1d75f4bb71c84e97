import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from seqkit.data.encoders import RowError, TokenizerFile, Words, learn_spec


def fitted(encoder, values):
    return encoder.fit(Dataset.from_dict({"x": values}), "x")


@pytest.fixture
def path(tmp_path):
    words = fitted(Words(), [["to", "be"]])
    tokenizer = Tokenizer.from_str(words.init_args()["tokenizer"])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_ids_without_padding_after_the_file_is_removed(path):
    encoder = fitted(TokenizerFile(str(path)), ["to be"])
    args = encoder.init_args()
    path.unlink()
    again = TokenizerFile(**args)
    assert again.size == 3
    assert again.encode(["to be or", "be", ""]) == [[2, 1, 0], [1], []]
    assert again.decode([[2, 1]]) == ["to be"]


TEXTS = ["ab ba", "", "b " * 40, "a b ab [MASK] abab"]


def saved(tokenizer, folder):
    tokenizer.save(str(folder / "saved.json"))
    return str(folder / "saved.json")


def pairs(**options):
    """A byte-pair tokenizer of a and b with special tokens far behind the other ids."""
    model = models.BPE({"a": 0, "b": 1, "ab": 4}, [("a", "b")], **options)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 11), ("[SEP]", 12)]
    )
    return tokenizer


@pytest.mark.parametrize("special_tokens", [True, False])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_neither_truncates_nor_pads(tmp_path, special_tokens, direction):
    plain = pairs()
    given = pairs()
    given.enable_truncation(max_length=4, direction=direction)
    given.enable_padding(direction=direction, length=16)
    encoder = TokenizerFile(saved(given, tmp_path), special_tokens)
    expected = [plain.encode(text, add_special_tokens=special_tokens).ids for text in TEXTS]
    assert max(map(len, expected)) >= 40
    assert encoder.encode(TEXTS) == TokenizerFile(**encoder.init_args()).encode(TEXTS) == expected


def test_does_not_drop_merges_at_random(tmp_path):
    encoder = TokenizerFile(saved(pairs(dropout=0.9), tmp_path))
    assert encoder.encode(TEXTS) == [pairs().encode(text).ids for text in TEXTS]


def test_the_size_is_the_largest_id_and_one(tmp_path):
    path = saved(pairs(), tmp_path)
    assert pairs().get_vocab_size() < 5
    for special_tokens, size in ((True, 13), (False, 5)):
        encoder = TokenizerFile(path, special_tokens)
        assert encoder.size == size
        assert max(number for row in encoder.encode(TEXTS) for number in row) < size
    spec = learn_spec(Dataset.from_dict({"x": TEXTS}), {"x": TokenizerFile(path)}, {})
    assert spec["inputs"]["x"]["size"] == 13


def test_the_size_counts_added_tokens(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 7}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_tokens(["new"])
    encoder = TokenizerFile(saved(tokenizer, tmp_path))
    assert encoder.encode(["a b new"])[0] == tokenizer.encode("a b new").ids
    assert encoder.size == 8
    assert Words(tokenizer=tokenizer.to_str()).size == 8


def test_a_file_that_is_no_tokenizer(tmp_path):
    (tmp_path / "saved.json").write_text('{"version": "1.0"}')
    with pytest.raises(ValueError, match=r"the tokenizer's JSON cannot be read \(.*\): .*version"):
        TokenizerFile(str(tmp_path / "saved.json")).encode(["a"])


def test_other_types(path):
    with pytest.raises(RowError, match=r"TokenizerFile reads strings, not .*; use Words for lists of words"):
        TokenizerFile(str(path)).encode([["to", "be"]])


def test_needs_a_path_or_content():
    with pytest.raises(
        ValueError, match="TokenizerFile needs either the path of a tokenizer's JSON file or its content"
    ):
        TokenizerFile()
