import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching import length_sort
from seqkit.data.batching.length_sort import Policy, sort_by_length

PERMISSIVE = Policy(None, "raise", "drop")


def check(lengths, policy):
    rows, histogram, dropped = sort_by_length(lengths, policy)
    lengths = np.asarray(lengths)
    limit = policy.max_tokens or 2**62
    keep = [i for i, n in enumerate(lengths) if n and (policy.overlong != "drop" or n <= limit)]
    counted = np.minimum(lengths, limit) if policy.overlong == "truncate" else lengths
    assert rows.tolist() == sorted(keep, key=lambda i: (-counted[i], i))
    assert histogram.lengths(np.arange(len(keep))).tolist() == counted[rows].tolist()
    assert dropped["empty"] == int((lengths == 0).sum())
    assert len(keep) + sum(dropped.values()) == len(lengths)


@given(
    st.lists(st.integers(0, 40), min_size=1).filter(lambda found: 0 < min(n or 99 for n in found) <= 20),
    st.sampled_from(["drop", "truncate", "solo"]),
)
def test_sorts_longest_first_and_stably(lengths, overlong):
    check(lengths, Policy(20, overlong, "drop"))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("dense", [1, 30, 1 << 22])
@pytest.mark.parametrize("overlong", ["drop", "truncate", "solo"])
def test_chunk_size_and_counting_method_do_not_change_the_result(monkeypatch, chunk, dense, overlong):
    monkeypatch.setattr(length_sort, "_CHUNK", chunk)
    monkeypatch.setattr(length_sort, "_DENSE", dense)
    check(np.random.default_rng(0).integers(0, 50, 300), Policy(40, overlong, "drop"))


@pytest.mark.parametrize("overlong", ["drop", "truncate", "solo"])
def test_without_a_limit_no_row_is_overlong(overlong):
    check(np.array([3, 0, 9, 10**6, 3]), Policy(None, overlong, "drop"))


def test_more_different_lengths_than_fit_16_bits():
    check(np.random.default_rng(0).permutation(70_000), PERMISSIVE)
    check(np.random.default_rng(0).permutation(70_000) + 2**40, PERMISSIVE)


@pytest.mark.parametrize(
    "kind", [list, np.int32, np.uint8, torch.tensor, lambda x: np.array(x, np.int16)[::-1][::-1]]
)
def test_accepts_any_container_of_integers(kind):
    assert sort_by_length(kind([3, 9, 3]), PERMISSIVE)[0].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("lengths", "policy", "error", "message"),
    [
        ([], PERMISSIVE, ValueError, "no rows: the dataset is empty"),
        ([[1, 2]], PERMISSIVE, ValueError, r"lengths of shape \(1, 2\): one number a row"),
        ([1.0, 2.0], PERMISSIVE, TypeError, "lengths of type float64: integers are needed"),
        ([0, 0], PERMISSIVE, ValueError, "all 2 rows have length 0: nothing to pack; is this the right column"),
        ([3, -1], PERMISSIVE, ValueError, "row 1: length -1 is negative"),
        (
            [3, 0],
            Policy(None, "raise", "raise"),
            ValueError,
            'row 1: length 0, nothing to pack; remove it or pass empty="drop"',
        ),
        (
            [4, 9, 8],
            Policy(4, "raise", "raise"),
            ValueError,
            'row 1: 9 tokens, but max_tokens=4; raise max_tokens or pass overlong="drop", "truncate" .* or "solo"',
        ),
        ([9, 0, 8], Policy(4, "drop", "drop"), ValueError, "none of 3 rows is left: 2 over-long, 1 empty"),
    ],
)  # fmt: skip
def test_invalid_lengths_raise(lengths, policy, error, message):
    with pytest.raises(error, match=message):
        sort_by_length(lengths, policy)


def test_errors_name_rows_of_later_chunks(monkeypatch):
    monkeypatch.setattr(length_sort, "_CHUNK", 2)
    with pytest.raises(ValueError, match="row 4: 9 tokens"):
        sort_by_length([1, 2, 3, 4, 9], Policy(5, "raise", "raise"))
