from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import END, UNKNOWN
from seqkit.metrics import EditReport, ErrorRates

NAMES = ["a", "b", "c"]
words = st.text("abc", max_size=5)


def pack_words(rows):
    """Pack rows of words, each word closed by END; ``?`` is an unknown label."""
    ids = {name: i for i, name in enumerate(NAMES)} | {"?": UNKNOWN}
    return packed.pack([torch.tensor([i for word in row for i in [*map(ids.get, word), END]]) for row in rows])


def test_edits_of_three_rows():
    metric = EditReport(NAMES)
    metric.update(pack_words([["ac"], ["c"]]), pack_words([["abc"], ["cc"]]))
    metric.update(pack_words([["b"]]), pack_words([["a"]]))
    plain = metric.to_python()
    assert plain["edits"] == [
        {"edit": "substitution", "true": "a", "predicted": "b", "count": 1},
        {"edit": "deletion", "true": "b", "predicted": None, "count": 1},
        {"edit": "deletion", "true": "c", "predicted": None, "count": 1},
    ]
    assert plain["totals"] == {
        "labels": 6,
        "right": 3,
        "substitution": 1,
        "deletion": 2,
        "insertion": 0,
        "rows": 3,
        "rows_wrong": 3,
    }
    assert plain["by_label"]["c"] == {"support": 3, "predicted": 2, "right": 2}
    table = metric.table()
    assert table.header == ("edit", "true", "predicted", "count", "share of edits")
    assert table.sections == [
        [("substitution", "a", "b", "1", "33.3%")],
        [("deletion", "b", "", "1", "33.3%"), ("deletion", "c", "", "1", "33.3%")],
        [],
    ]
    assert table.caption == ("3 edits of 6 labels: 1 substitutions, 2 deletions, 0 insertions; 3 of 3 rows wrong")


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=2, max_size=6))
def test_totals_agree_with_the_error_rates(rows):
    metric, rates = EditReport(NAMES), ErrorRates()
    for some in (rows[:1], rows[1:]):
        batch = pack_words([[word] for word, _ in some]), pack_words([references for _, references in some])
        metric.update(*batch)
        rates.update(*batch)
    plain, expected = metric.to_python(), rates.compute()
    totals = plain["totals"]
    edits = sum(totals[kind] for kind in ("substitution", "deletion", "insertion"))
    assert edits == sum(edit["count"] for edit in plain["edits"]) == int(rates.edits)
    assert totals["rows_wrong"] / totals["rows"] == pytest.approx(float(expected["sequence_error_rate"]))
    predictions = Counter("".join(word for word, _ in rows))
    assert {name: of["predicted"] for name, of in plain["by_label"].items()} == {n: predictions[n] for n in NAMES}


def test_edits_are_ordered_by_their_number_and_then_by_their_labels():
    metric = EditReport(NAMES)
    metric.update(pack_words([["b"], ["b"], ["b"], ["c"]]), pack_words([["c"], ["c"], ["a"], ["a"]]))
    found = [(edit["true"], edit["predicted"], edit["count"]) for edit in metric.to_python()["edits"]]
    assert found == [("c", "b", 2), ("a", "b", 1), ("a", "c", 1)]


def test_the_figure_counts_pairs_and_labels_without_a_partner():
    metric = EditReport(NAMES)
    metric.update(pack_words([["ab"], ["b"], ["c"]]), pack_words([["ab"], ["ab"], ["?c"]]))
    _, axes = metric.plot("title")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c", "∅"]
    found = {(*text.get_position(), text.get_text()) for text in axes.texts}  # (predicted, true, count)
    assert found == {(0, 0, "1"), (1, 1, "2"), (2, 2, "1"), (3, 0, "1")}


def test_labels_that_training_did_not_have_are_unknown():
    metric = EditReport(NAMES)
    metric.update(pack_words([["a"]]), pack_words([["a?"]]))
    assert metric.to_python()["edits"] == [{"edit": "deletion", "true": "(unknown)", "predicted": None, "count": 1}]
    assert metric.plot() is not None


def test_rows_without_edits_print_no_table():
    metric = EditReport(NAMES)
    metric.update(pack_words([["ab"]]), pack_words([["ab"]]))
    assert not any(metric.table().sections)
    assert metric.to_python()["totals"]["right"] == 2


def test_many_labels_are_not_drawn():
    metric = EditReport([f"l{i}" for i in range(60)])
    metric.update(pack_words([["a"]]), pack_words([["b"]]))
    assert metric.plot() is None
