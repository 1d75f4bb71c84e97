import gzip
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data import read_vectors
from seqkit.data.word_vectors import Vectors

LINES = ["the 0.5 -1 2e-1", "Paris 1 2 3", "paris 4 5 6", "of the 7 8 9", "é 1 1 1", "the 0 0 0"]


def write(path, lines, *, header=None, packed=False, end=""):
    text = "".join(f"{line}{end}\n" for line in ([header] if header else []) + lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["glove", "word2vec", "fasttext"])
def test_reads_the_three_formats(tmp_path, form, packed):
    header = None if form == "glove" else f"{len(LINES)} 3"
    path = write(tmp_path / "v", LINES, header=header, packed=packed, end=" " if form == "fasttext" else "")
    found = read_vectors(path, ["<unk>", "the", "paris", "of the", "é"])
    assert found.values.dtype == torch.float32
    wanted = [[0, 0, 0], [0.5, -1, 0.2], [4, 5, 6], [7, 8, 9], [1, 1, 1]]
    torch.testing.assert_close(found.values, torch.tensor(wanted))
    assert found.exact.tolist() == found.known.tolist() == [False, True, True, True, True]


def test_words_in_another_case(tmp_path):
    path = write(tmp_path / "v", LINES)
    words = ["PARIS", "Paris", "paris", "THE", "É", "rome"]
    found = read_vectors(path, words)
    assert found.exact.tolist() == [False, True, True, False, False, False]
    assert found.folded.tolist() == [True, False, False, True, True, False]
    assert found.values[:3, 0].tolist() == [1, 1, 4]  # the first word in another case; the same case is preferred
    assert found.describe(words) == (
        "5 of 6 words have a vector: 2 in the same case, 3 in another case; 1 have none, such as 'rome'"
    )
    strict = read_vectors(path, words, fold_case=False)
    assert strict.known.tolist() == [False, True, True, False, False, False]
    torch.testing.assert_close(strict.values[1:3], found.values[1:3])


@given(
    words=st.lists(st.text("abAB ", min_size=1).filter(lambda word: word == word.strip()), unique=True, max_size=8),
    asked=st.lists(st.sampled_from(["a", "A", "b", "ab", "aB", "a b"]), unique=True, min_size=1),
    fold_case=st.booleans(),
)
def test_equals_a_linear_search(tmp_path_factory, words, asked, fold_case):
    random = np.random.default_rng(0)
    table = [(word, random.integers(-9, 9, 2)) for word in ["zz", *words]]
    path = write(tmp_path_factory.mktemp("v") / "v", [f"{word} {a} {b}" for word, (a, b) in table])
    found = read_vectors(path, asked, fold_case=fold_case)
    for row, word in enumerate(asked):
        exact = [value for other, value in table if other == word]
        folded = [value for other, value in table if other.lower() == word.lower()] if fold_case else []
        assert bool(found.exact[row]) == bool(exact)
        assert bool(found.folded[row]) == bool(folded and not exact)
        assert found.values[row].tolist() == [*exact, *folded, np.zeros(2)][0].tolist()


def test_fills_an_embedding(tmp_path):
    found = read_vectors(write(tmp_path / "v", LINES), ["<unk>", "the", "rome", "paris"])
    torch.manual_seed(0)
    weight = torch.randn(4, 3)
    before = weight.clone()
    found.fill(weight)
    spread = found.values[found.known].std(correction=0)
    torch.testing.assert_close(weight[[1, 3]], found.values[[1, 3]])
    torch.testing.assert_close(weight[[0, 2]], before[[0, 2]] * spread / before.std(correction=0))
    narrow = before / 20  # as a tied language model initialises it
    found.fill(narrow)
    torch.testing.assert_close(narrow, weight)
    with pytest.raises(
        ValueError, match=r"vectors of shape \(4, 3\) .* an embedding of shape \(4, 5\); set its embedding_dim to 3"
    ):
        found.fill(torch.zeros(4, 5))
    none = Vectors(torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="no word has a vector; is the file of another language"):
        none.fill(weight)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["the 1 2 3", "a 1 2", "b 1 2 3"],
            r"v:2: a word and 2 numbers, expected 3; the file is broken",
        ),
        (["2 3", "the 1 2 3", "a 1"], "v:3: a word and 1 numbers, expected 3"),
        (["the 1 2 3", "a 1 x 3"], r"v:2: could not convert string to float: .*; the file is broken"),
        (["the 1 2 3", "a 1 nan 3"], "v:2: a number is not finite"),
        (["the 1 2 3", "a 1 1e39 3"], "v:2: a number is too large for float32"),
        (["5 3", "the 1 2 3"], "ends after line 2 with 1 words, but its header gives 5; download it again"),
        (["word"], "v:1: a word and 0 numbers"),
        ([], "v is empty; download it again"),
    ],
)
def test_broken_file(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_vectors(write(tmp_path / "v", lines), ["the", "a"])


def test_broken_gzip_file(tmp_path):
    random = np.random.default_rng(0)
    lines = [f"w{i} " + " ".join(map(str, random.random(5))) for i in range(3000)]
    path = write(tmp_path / "v", lines, packed=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        ValueError, match=r"the gzip file is broken after \d\d+ complete lines .*; download it again"
    ) as caught:
        read_vectors(path, ["w1"])
    assert 500 < int(re.search(r"after (\d+) complete", str(caught.value))[1]) < 2500


def test_keeps_only_the_given_words(tmp_path):
    lines = [f"w{i} 1 2 3" for i in range(5000)]
    assert read_vectors(write(tmp_path / "v", lines), ["w7", "w4999"]).values.shape == (2, 3)


@pytest.mark.parametrize("header", [[], ["3 3"]])
def test_byte_order_mark(tmp_path, header):
    path = tmp_path / "v"
    path.write_text("\n".join([*header, "the 1 2 3", "a 4 5 6", "rome 7 8 9"]) + "\n", encoding="utf-8-sig")
    found = read_vectors(path, ["the", "rome"])
    assert found.exact.tolist() == [True, True]
    assert found.values.tolist() == [[1, 2, 3], [7, 8, 9]]
