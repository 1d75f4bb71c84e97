import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.callbacks.report.worst_rows import WorstRow, WorstRows
from seqkit.tasks import RowReport, TaskOutput


class Scored:
    """A task whose outputs are the losses themselves; it counts the rows that it describes."""

    summary_title = "true → predicted"
    described = 0

    def sequence_losses(self, output):
        return output.output

    def describe_rows(self, output, places):
        self.described += len(places)
        return [RowReport({"true": float(output.target[i])}, "") for i in places]


def update(worst, rows, losses):
    worst.update(rows, TaskOutput(torch.tensor(losses), torch.tensor(rows)))


def table_cells(worst, inputs):
    columns = [list(column.cells) for column in worst.table(inputs).columns]
    return [list(cells) for cells in zip(*columns, strict=True)]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=20), st.integers(1, 6), st.data())
def test_the_rows_kept_are_the_first_of_the_sorted_ones(losses, count, data):
    rows = data.draw(st.permutations(range(len(losses))))
    cut = data.draw(st.integers(0, len(losses)))
    worst = WorstRows(Scored(), count)
    for some in (rows[:cut], rows[cut:]):
        update(worst, some, [losses[row] for row in some])
    expected = sorted(range(len(losses)), key=lambda row: (-losses[row], row))[:count]
    assert worst.lines() == [{"row": row, "loss": losses[row], "true": float(row)} for row in expected]


def test_only_rows_that_enter_are_described():
    task = Scored()
    worst = WorstRows(task, 2)
    update(worst, [0, 1, 2], [3.0, 2.0, 1.0])
    update(worst, [3, 4, 5], [0.1, 0.2, 2.5])
    assert task.described == 3
    assert [row.row for row in worst.rows] == [0, 5]


def test_a_loss_that_is_not_a_number_is_the_worst():
    worst = WorstRows(Scored(), 1)
    update(worst, [0, 1], [5.0, float("nan")])
    assert [row.row for row in worst.rows] == [1]


def test_rows_of_other_ranks_are_merged():
    one, other = WorstRows(Scored(), 2), WorstRows(Scored(), 2)
    update(one, [0, 2], [1.0, 3.0])
    update(other, [1, 3], [2.0, 3.0])
    one.merge(other.rows)
    assert [row.row for row in one.rows] == [2, 3]


def test_continuous_text_has_no_rows():
    worst = WorstRows(Scored(), 2)
    update(worst, [0, 1], [])
    assert worst.rows == []


@pytest.mark.parametrize(
    ("report", "tokens", "expected"),
    [
        (RowReport({}, "a summary"), ["x"], "a summary"),
        (RowReport({}), ["x"], ""),
        (RowReport({"true": ["A", "B"], "predicted": ["A", "C"]}), ["x", "y"], "y: B → C"),
        (RowReport({"true": ["A", "B"], "predicted": ["A", "C"]}), None, "1: B → C"),
        (RowReport({"true": [None, "B"], "predicted": ["A", "B"]}), ["x", "y"], ""),
    ],
)
def test_the_table_shows_the_summary_or_the_differences(report, tokens, expected):
    worst = WorstRows(Scored(), 1)
    worst.merge([WorstRow(0.5, 7, report)])
    ((row, loss, summary, text),) = table_cells(worst, [{"words": tokens}])
    assert [row, loss, summary] == ["7", "0.500", expected]
    assert text == " ".join(tokens or [])


@pytest.mark.parametrize(
    ("values", "expected"), [("a text", "a text"), ([1.0, 2.0, 3.0], "3 steps"), ("long " * 30, "long " * 14 + "…")]
)
def test_inputs_are_shortened(values, expected):
    worst = WorstRows(Scored(), 1)
    worst.merge([WorstRow(0.5, 7, RowReport({}, ""))])
    assert table_cells(worst, [{"text": values}])[0][3] == expected


def test_several_inputs_have_a_line_and_a_name_each():
    worst = WorstRows(Scored(), 3)
    worst.merge(WorstRow(loss, 0, RowReport({}, "")) for loss in (3.0, 2.0, 1.0))
    pairs = [{"one": "a text", "other": ["two", "words"]}, {"one": "alone", "other": None}, {}]
    assert [cells[3] for cells in table_cells(worst, pairs)] == [
        "one: a text\nother: two words",
        "one: alone\nother:",
        "",
    ]
