import pytest
from datasets import Dataset
from tokenizers import Tokenizer, pre_tokenizers

from seqkit.data.encoders import RowError, TokenizerFile, Words


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


def test_other_types(path):
    with pytest.raises(RowError, match=r"TokenizerFile reads strings, not .*; use Words for lists of words"):
        TokenizerFile(str(path)).encode([["to", "be"]])


def test_needs_a_path_or_content():
    with pytest.raises(
        ValueError, match="TokenizerFile needs either the path of a tokenizer's JSON file or its content"
    ):
        TokenizerFile()
