from hypothesis import given
from hypothesis import strategies as st

from seqkit.labels import read_spans
from seqkit.tasks.stream.spans import LastTag, continue_spans

TAGS = st.sampled_from([("O", ""), *((prefix, kind) for prefix in "BIES" for kind in ("a", "b"))])


@given(st.lists(st.lists(TAGS, min_size=1, max_size=4), max_size=6))
def test_spans_of_pieces_are_those_of_the_whole(pieces):
    found, last, tags = {}, LastTag(), []
    for piece in pieces:
        spans, last = continue_spans(piece, len(tags), last)
        assert all(len(tags) < span["end"] <= len(tags) + len(piece) for span in spans)
        tags += piece
        found |= {span["start"]: span for span in spans}
        assert list(found.values()) == read_spans(tags)


def test_a_span_that_continues_is_there_again():
    spans, last = continue_spans([("O", ""), ("B", "x")], 3, LastTag())
    assert spans == [{"type": "x", "start": 4, "end": 5}]
    spans, last = continue_spans([("I", "x")], 5, last)
    assert spans == [{"type": "x", "start": 4, "end": 6}]
    spans, last = continue_spans([("O", "")], 6, last)
    assert spans == []
    assert continue_spans([("I", "x")], 7, last)[0] == [{"type": "x", "start": 7, "end": 8}]
