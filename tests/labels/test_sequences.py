import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import edit_distance

from seqkit import packed
from seqkit.labels import END, Transcripts, align, close, distinct, edit_distances, nearest, split

label_sequences = st.lists(st.integers(0, 3), max_size=7)


def ragged(sequences):
    flat = torch.tensor([label for sequence in sequences for label in sequence], dtype=torch.long)
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
    return Transcripts(flat, lengths, torch.arange(len(sequences)))


def lists(transcripts):
    return [part.tolist() for part in transcripts.labels.split(transcripts.lengths.tolist())]


@given(st.lists(label_sequences, min_size=1, max_size=6))
def test_closed_and_split_again(sequences):
    given_ = ragged(sequences)
    closed = close(given_.labels, given_.lengths)
    assert [row.tolist() for row in packed.unpack(closed)] == [[*sequence, END] for sequence in sequences]
    again = split(closed)
    assert lists(again) == sequences
    assert again.rows.tolist() == list(range(len(sequences)))
    owners = [i for i, sequence in enumerate(sequences) for _ in sequence]
    assert again.owners.tolist() == owners


@given(st.lists(st.lists(label_sequences, min_size=1, max_size=3), min_size=1, max_size=5))
def test_several_references_a_row_are_split_in_the_order_of_rows(rows):
    packs = packed.pack([torch.tensor([i for reference in row for i in [*reference, END]]) for row in rows])
    found = split(packs)
    assert lists(found) == [reference for row in rows for reference in row]
    assert found.rows.tolist() == [i for i, row in enumerate(rows) for _ in row]


def test_a_row_that_is_not_closed_counts_as_closed():
    found = split(packed.pack([torch.tensor([1]), torch.tensor([2, 0, END]), torch.tensor([3, END, 1, 1])]))
    assert lists(found) == [[1], [2, 0], [3], [1, 1]]
    assert found.rows.tolist() == [0, 1, 2, 2]


def levenshtein(a, b):
    line = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above = line
        line = [i]
        for j, y in enumerate(b, start=1):
            line.append(min(above[j] + 1, line[-1] + 1, above[j - 1] + (x != y)))
    return line[-1]


@given(st.lists(st.tuples(label_sequences, label_sequences), max_size=8))
def test_edit_distances_are_those_of_a_plain_loop(pairs):
    found = edit_distances(ragged([a for a, _ in pairs]), ragged([b for _, b in pairs]))
    assert found.tolist() == [levenshtein(a, b) for a, b in pairs]


def test_edit_distances_are_those_of_torchmetrics():
    words = [("kitten", "sitting"), ("", "abc"), ("abc", ""), ("same", "same"), ("flaw", "lawn")]
    mine = edit_distances(ragged([[*map(ord, a)] for a, _ in words]), ragged([[*map(ord, b)] for _, b in words]))
    theirs = edit_distance([a for a, _ in words], [b for _, b in words], reduction="none")
    assert mine.tolist() == theirs.tolist()


def test_long_pairs_are_compared_in_full():
    # Where a band of the table does not suffice.
    a, b = [0] * 5 + [1] * 120, [1] * 120 + [0] * 120
    assert edit_distances(ragged([a]), ragged([b])).tolist() == [levenshtein(a, b)]


@given(st.lists(st.tuples(label_sequences, label_sequences), max_size=8))
def test_an_alignment_has_the_fewest_edits_and_all_labels(pairs):
    for a, b in pairs:  # alone, so that what belongs to a pair is known
        found, wanted = align(ragged([a]), ragged([b]))
        assert [x for x in found.flip(0).tolist() if x != END] == a
        assert [y for y in wanted.flip(0).tolist() if y != END] == b
        assert int((found != wanted).sum()) == levenshtein(a, b)
        assert not ((found == END) & (wanted == END)).any()
    together = align(ragged([a for a, _ in pairs]), ragged([b for _, b in pairs]))
    alone = [zip(*map(torch.Tensor.tolist, align(ragged([a]), ragged([b]))), strict=True) for a, b in pairs]
    assert sorted(zip(*map(torch.Tensor.tolist, together), strict=True)) == sorted(p for one in alone for p in one)


@given(
    st.lists(st.tuples(label_sequences, st.lists(label_sequences, min_size=1, max_size=3)), min_size=1, max_size=5)
)
def test_the_nearest_reference_is_the_first_of_those_with_the_fewest_edits(rows):
    wanted = split(packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for _, row in rows]))
    found, distances = nearest(ragged([said for said, _ in rows]), wanted)
    expected = [min(row, key=lambda one, said=said: levenshtein(said, one)) for said, row in rows]
    assert lists(found) == expected
    assert distances.tolist() == [levenshtein(said, one) for (said, _), one in zip(rows, expected, strict=True)]


@given(st.lists(st.lists(st.lists(st.integers(0, 1), max_size=3), min_size=1, max_size=4), min_size=1, max_size=5))
def test_distinct_references_are_the_first_of_their_row(rows):
    found = distinct(split(packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for row in rows])))
    expected = [list(map(list, dict.fromkeys(map(tuple, row)))) for row in rows]
    assert lists(found) == [one for row in expected for one in row]
    assert found.rows.tolist() == [i for i, row in enumerate(expected) for _ in row]
