import itertools
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import allowed_transitions, detect_scheme, forbidden, parse_tags, read_spans
from seqkit.metrics import SpanF1

NAMES = {
    "BIO": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "IOB1": ["I-X", "B-X", "O", "I-Y", "B-Y"],
    "BIOES": ["O", *(f"{p}-{t}" for t in ("X", "Y") for p in "BIES")],
}


def test_allowed_transitions_by_the_definition_of_each_scheme():
    legal = {
        "BIO": (["O B-X I-X I-X", "B-X B-X B-Y I-Y", "B-X O B-X"], ["I-X", "O I-X", "B-X I-Y", "B-Y O I-Y"]),
        "IOB1": (["I-X I-X O", "I-X B-X I-X", "I-X I-Y"], ["B-X", "O B-X", "I-X B-Y"]),
        "BIOES": (
            ["S-X B-X I-X E-X", "O B-X E-X S-Y", "B-X E-X B-X E-X"],
            ["B-X", "B-X O", "I-X", "E-X", "B-X E-Y", "S-X I-X", "B-X S-X", "O B-X I-X"],
        ),
    }
    for scheme, (good, bad) in legal.items():
        names = NAMES[scheme]
        allowed = allowed_transitions(names, scheme)
        for text, expected in [(t, True) for t in good] + [(t, False) for t in bad]:
            ids = [names.index(tag) for tag in text.split()]
            inner = all(allowed.transitions[a, b] for a, b in itertools.pairwise(ids))
            assert bool(allowed.start[ids[0]] and inner and allowed.end[ids[-1]]) == expected, (scheme, text)


def is_allowed(ids, allowed):
    start, transitions, end = allowed
    inner = all(transitions[a][b] for a, b in itertools.pairwise(ids))
    return bool(start[ids[0]] and inner and end[ids[-1]])


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_forbidden_tags_against_each_sequence_alone(scheme):
    names = ["O", "S-X", "E-X", "I-X", "B-X", "I-Y"] if scheme == "BIOES" else ["O", "B-X", "I-X", "I-Y"]
    allowed = allowed_transitions(names, scheme)
    rows = [row for length in (1, 2, 3) for row in itertools.product(range(len(names)), repeat=length)]
    found = packed.unpack(forbidden(packed.pack([torch.tensor(row) for row in rows]), allowed))
    for row, marks in zip(rows, found, strict=True):
        assert bool(marks.any()) is not is_allowed(row, allowed), row
        if marks.any():  # the first mark is where the shortest start that cannot be continued ends
            first = int(marks.nonzero()[0])
            starts = [
                not allowed.start[row[0]],
                *(not allowed.transitions[a, b] for a, b in itertools.pairwise(row)),
            ]
            assert first == starts.index(True) if any(starts) else first == len(row) - 1


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_unknown_tags_may_be_any(scheme):
    names = ["O", "B-X", "I-X", "E-X", "B-Y", "E-Y"] if scheme == "BIOES" else NAMES[scheme]
    allowed = allowed_transitions(names, scheme)
    ids = [-100, *range(len(names)), len(names)]
    rows = [row for length in (1, 2, 3) for row in itertools.product(ids, repeat=length)]
    found = packed.unpack(forbidden(packed.pack([torch.tensor(row) for row in rows]), allowed))
    allowed = [table.tolist() for table in allowed]
    for row, marks in zip(rows, found, strict=True):
        choices = [[i] if 0 <= i < len(names) else range(len(names)) for i in row]
        assert bool(marks.any()) is not any(is_allowed(each, allowed) for each in itertools.product(*choices)), row


def test_tags_on_both_sides_of_unknown_ones():
    """Each unknown tag has a tag that fits its neighbour, but no tags fit all of them."""
    names = NAMES["BIOES"]
    allowed = allowed_transitions(names, "BIOES")
    texts = [
        "B-X _ I-Y",
        "B-X _ _ I-Y E-Y",
        "B-X _ E-Y O",
        "_ E-X O",
        "O _ E-X",
        "B-X _",
        "B-X _ _ _ I-Y E-Y",
        "_",
        "_ _ _",
    ]
    first_marks = [2, None, 2, None, None, None, None, None, None]
    rows = [torch.tensor([names.index(tag) if tag != "_" else -1 for tag in text.split()]) for text in texts]
    found = packed.unpack(forbidden(packed.pack(rows), allowed))
    assert [next(iter(marks.nonzero()[:, 0].tolist()), None) for marks in found] == first_marks


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_known_tags_are_found_beside_rows_with_unknown_ones(scheme):
    names = NAMES[scheme][:5]
    allowed = allowed_transitions(names, scheme)
    rows = [torch.tensor(row) for n in (1, 2, 3) for row in itertools.product(range(len(names)), repeat=n)]
    alone = packed.unpack(forbidden(packed.pack(rows), allowed))
    beside = packed.unpack(forbidden(packed.pack([*rows, torch.tensor([-100, 0])]), allowed))
    for row, one, other in zip(rows, alone, beside[:-1], strict=True):
        assert one.tolist() == other.tolist(), row


def test_the_ignored_id_is_unknown():
    allowed = allowed_transitions(["O", "B-X", "I-X"], "BIO")
    tags = packed.pack([torch.tensor([0, 2])])
    assert forbidden(tags, allowed).data.tolist() == [False, True]
    assert forbidden(tags, allowed, ignore_index=0).data.tolist() == [False, False]


def test_schemes_are_detected_by_names():
    assert detect_scheme(NAMES["BIO"]) == "BIO"
    assert detect_scheme(NAMES["BIOES"]) == "BIOES"
    assert detect_scheme(["NOUN", "VERB", "X"]) is None
    assert detect_scheme(["O"]) is None
    assert detect_scheme(["O", "B-X", "Q-X"]) is None


def test_unknown_schemes_and_tags_raise_an_error():
    with pytest.raises(
        ValueError, match=r"tag 'E-X' is not one of scheme BIO: O, or one of B, I, .*another scheme"
    ):
        parse_tags(["O", "B-X", "E-X"], "BIO")
    with pytest.raises(ValueError, match="scheme is 'IOB'; give one of BIO, IOB1, BIOES"):
        allowed_transitions(["O"], "IOB")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("I-X I-X B-X I-X", [("X", 0, 2), ("X", 2, 4)]),
        ("B-X I-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("O I-X", [("X", 1, 2)]),
        ("B-X I-X E-X S-X", [("X", 0, 3), ("X", 3, 4)]),
        ("S-X I-X E-X E-X", [("X", 0, 1), ("X", 1, 3), ("X", 3, 4)]),
        ("", []),
    ],
)
def test_read_spans(tags, expected):
    parsed = [("O", "") if tag == "O" else tuple(tag.split("-")) for tag in tags.split()]
    assert [tuple(span.values()) for span in read_spans(parsed)] == expected


@pytest.mark.parametrize("scheme", NAMES)
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=4), seed=st.integers()
)
def test_spans_are_those_of_span_f1(scheme, rows, seed):
    names, random = NAMES[scheme], Random(seed)
    parsed = parse_tags(names, scheme)
    others = [[random.randrange(len(names)) for _ in row] for row in rows]
    metric = SpanF1(names, scheme=scheme)
    metric.update(*(packed.pack([torch.tensor(row) for row in side]) for side in (rows, others)))
    found, true = (
        {(number, *span.values()) for number, row in enumerate(side) for span in read_spans(parsed[i] for i in row)}
        for side in (rows, others)
    )
    counts = metric.predicted.sum(), metric.actual.sum(), metric.correct.sum()
    assert [int(count) for count in counts] == [len(found), len(true), len(found & true)]
