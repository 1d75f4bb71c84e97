import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.metrics import ClassReport, LabelReport, SpanF1, SpanReport

NAMES = ["a", "b", "c", "d"]
ids = st.integers(0, 3)


def scores_by_hand(pairs, name):
    """Precision, recall, F1 and support of one class, from (predicted, true) pairs."""
    correct = sum(predicted == true == name for predicted, true in pairs)
    predictions = sum(predicted == name for predicted, _ in pairs)
    support = sum(true == name for _, true in pairs)
    precision = correct / predictions if predictions else 0.0
    recall = correct / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def columns(pairs):
    return [torch.tensor(side, dtype=torch.long) for side in zip(*pairs, strict=True)]


@given(st.lists(st.tuples(ids, st.sampled_from([0, 1, 2, 3, -100])), min_size=2, max_size=30))
def test_class_scores_and_confusions_equal_a_loop(pairs):
    metric = ClassReport(NAMES, ignore_index=3)
    metric.update(*columns(pairs[:1]))
    metric.update(*columns(pairs[1:]))
    kept = [(predicted, true) for predicted, true in pairs if true in (0, 1, 2)]
    plain = metric.to_python()
    assert list(plain) == ["by_class", "means", "confusion"]
    assert plain["confusion"] == [[kept.count((j, i)) for j in range(4)] for i in range(4)]
    each = [scores_by_hand(kept, i) for i in range(4)]
    for name, expected in zip(NAMES, each, strict=True):
        assert plain["by_class"][name] == pytest.approx(expected)
    for score in ("precision", "recall", "f1"):
        assert plain["means"]["macro"][score] == pytest.approx(sum(of[score] for of in each) / 4)
        weighted = sum(of[score] * of["support"] for of in each) / max(len(kept), 1)
        assert plain["means"]["weighted"][score] == pytest.approx(weighted)
        accuracy = sum(predicted == true for predicted, true in kept) / max(len(kept), 1)
        assert plain["means"]["micro"][score] == pytest.approx(accuracy)


@given(st.lists(st.tuples(st.sets(ids), st.sets(ids)), min_size=1, max_size=10))
def test_label_scores_equal_a_loop(rows):
    metric = LabelReport(NAMES)
    metric.update(*(torch.tensor([[int(i in row[side]) for i in range(4)] for row in rows]) for side in (0, 1)))
    plain = metric.to_python()
    assert plain["confusion"] is None
    for i, name in enumerate(NAMES):
        pairs = [(i if i in predicted else None, i if i in true else None) for predicted, true in rows]
        assert plain["by_label"][name] == pytest.approx(scores_by_hand(pairs, i))


def test_span_scores_equal_those_of_span_f1():
    names = ["O", "B-x", "I-x", "B-y"]
    predicted, true = (
        packed.pack([torch.tensor(row) for row in rows]) for rows in ([[1, 2, 0], [3]], [[1, 2, 3], [3]])
    )
    report, scores = SpanReport(names), SpanF1(names, per_type=True)
    for metric in (report, scores):
        metric.update(predicted, true)
    by_type = report.to_python()["by_span_type"]
    assert by_type == {
        "x": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
        "y": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2},
    }
    for kind in ("x", "y"):
        assert by_type[kind]["f1"] == scores.compute()[f"span_f1_{kind}"]
    table = report.table()
    assert table.header == ("spans", "precision", "recall", "f1", "support")
    assert list(table.sections[1][0]) == ["micro", "1.000", "0.667", "0.800", "3"]


def test_one_span_type_is_reported():
    report = SpanReport(["O", "B-x"])
    tags = packed.pack([torch.tensor([1, 0])])
    report.update(tags, tags)
    assert report.to_python()["by_span_type"]["x"]["support"] == 1


def test_a_single_class_has_a_matrix_and_a_figure():
    metric = ClassReport(["only"])
    metric.update(torch.zeros(3).long(), torch.zeros(3).long())
    assert metric.to_python()["confusion"] == [[3]]
    assert metric.plot("title") is not None


def test_the_table_shows_the_frequent_ones_of_many_classes():
    metric = ClassReport([f"class{i}" for i in range(300)])
    true = torch.arange(300).repeat_interleave(torch.arange(300) % 100 + 1)
    metric.update(true, true)
    table = metric.table()
    assert table.caption == "the 40 most frequent of 300 classes"
    shown = [row[0] for row in table.sections[0]]
    assert shown == [f"class{i}" for i in range(300) if i % 100 >= 87 or i == 86]
    assert [row[0] for row in table.sections[1]] == ["micro", "macro", "weighted"]
    assert metric.to_python()["confusion"] is None  # too many classes
    assert metric.plot() is None


def test_supports_are_integers_and_targets_below_0_do_not_count():
    metric = ClassReport(NAMES)
    metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, -100, -1]))
    plain = metric.to_python()
    supports = [of["support"] for of in plain["by_class"].values()]
    assert supports == [1, 1, 0, 0]
    assert all(type(count) is int for count in [*supports, *plain["confusion"][0]])
    assert metric.ignore_index == -100
    assert [list(row) for row in metric.table().sections[1]] == [
        [name, "1.000", "1.000", "1.000", "2"] if name != "macro" else ["macro", "0.500", "0.500", "0.500", "2"]
        for name in ("micro", "macro", "weighted")
    ]


def test_figures_have_names_and_counts():
    metric = ClassReport(NAMES)
    metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    figure, axes = metric.plot("of a test")
    assert axes.get_title() == "of a test"
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    assert [text.get_text() for text in axes.texts] == ["1", "1", "1"]
    assert figure.axes[0] is axes
