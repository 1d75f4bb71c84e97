import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import END, close, split, unique_references
from tests.labels.cases import join, label_sequences, lists


@given(st.lists(label_sequences, min_size=1, max_size=6))
def test_split_is_the_inverse_of_close(sequences):
    given_ = join(sequences)
    closed = close(given_.labels, given_.lengths)
    assert [row.tolist() for row in packed.unpack(closed)] == [[*sequence, END] for sequence in sequences]
    again = split(closed)
    assert lists(again) == sequences
    assert again.rows.tolist() == list(range(len(sequences)))
    owners = [i for i, sequence in enumerate(sequences) for _ in sequence]
    assert again.owners.tolist() == owners


@given(st.lists(st.lists(label_sequences, min_size=1, max_size=3), min_size=1, max_size=5))
def test_several_references_of_a_row_are_split_in_the_order_of_rows(rows):
    packs = packed.pack([torch.tensor([i for reference in row for i in [*reference, END]]) for row in rows])
    found = split(packs)
    assert lists(found) == [reference for row in rows for reference in row]
    assert found.rows.tolist() == [i for i, row in enumerate(rows) for _ in row]


def test_last_reference_of_a_row_may_lack_its_end():
    found = split(packed.pack([torch.tensor([1]), torch.tensor([2, 0, END]), torch.tensor([3, END, 1, 1])]))
    assert lists(found) == [[1], [2, 0], [3], [1, 1]]
    assert found.rows.tolist() == [0, 1, 2, 2]


@given(st.lists(st.lists(st.lists(st.integers(0, 1), max_size=3), min_size=1, max_size=4), min_size=1, max_size=5))
def test_unique_references_are_the_first_of_their_row(rows):
    found = unique_references(
        split(packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for row in rows]))
    )
    expected = [list(map(list, dict.fromkeys(map(tuple, row)))) for row in rows]
    assert lists(found) == [one for row in expected for one in row]
    assert found.rows.tolist() == [i for i, row in enumerate(expected) for _ in row]
