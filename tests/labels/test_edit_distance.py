import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import edit_distance

from seqkit import packed
from seqkit.labels import END, align, edit_distances, nearest, split
from tests.labels.cases import join, label_sequences, lists


def levenshtein(a, b):
    line = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above = line
        line = [i]
        for j, y in enumerate(b, start=1):
            line.append(min(above[j] + 1, line[-1] + 1, above[j - 1] + (x != y)))
    return line[-1]


@given(st.lists(st.tuples(label_sequences, label_sequences), max_size=8))
def test_edit_distances_equal_those_of_a_loop(pairs):
    found = edit_distances(join([a for a, _ in pairs]), join([b for _, b in pairs]))
    assert found.tolist() == [levenshtein(a, b) for a, b in pairs]


def test_edit_distances_equal_those_of_torchmetrics():
    words = [("kitten", "sitting"), ("", "abc"), ("abc", ""), ("same", "same"), ("flaw", "lawn")]
    mine = edit_distances(join([[*map(ord, a)] for a, _ in words]), join([[*map(ord, b)] for _, b in words]))
    theirs = edit_distance([a for a, _ in words], [b for _, b in words], reduction="none")
    assert mine.tolist() == theirs.tolist()


def test_distances_outside_a_band_of_the_table_are_exact():
    a, b = [0] * 5 + [1] * 120, [1] * 120 + [0] * 120
    assert edit_distances(join([a]), join([b])).tolist() == [levenshtein(a, b)]


@given(st.lists(st.tuples(label_sequences, label_sequences), max_size=8))
def test_alignment_has_the_fewest_edits_and_all_labels(pairs):
    for a, b in pairs:  # each pair alone, to know which labels belong to it
        found, wanted = align(join([a]), join([b]))
        assert [x for x in found.flip(0).tolist() if x != END] == a
        assert [y for y in wanted.flip(0).tolist() if y != END] == b
        assert int((found != wanted).sum()) == levenshtein(a, b)
        assert not ((found == END) & (wanted == END)).any()
    together = align(join([a for a, _ in pairs]), join([b for _, b in pairs]))
    alone = [zip(*map(torch.Tensor.tolist, align(join([a]), join([b]))), strict=True) for a, b in pairs]
    assert sorted(zip(*map(torch.Tensor.tolist, together), strict=True)) == sorted(p for one in alone for p in one)


@given(
    st.lists(st.tuples(label_sequences, st.lists(label_sequences, min_size=1, max_size=3)), min_size=1, max_size=5)
)
def test_nearest_reference_is_the_first_of_those_with_the_fewest_edits(rows):
    wanted = split(packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for _, row in rows]))
    found, distances = nearest(join([said for said, _ in rows]), wanted)
    expected = [min(row, key=lambda one, said=said: levenshtein(said, one)) for said, row in rows]
    assert lists(found) == expected
    assert distances.tolist() == [levenshtein(said, one) for (said, _), one in zip(rows, expected, strict=True)]
