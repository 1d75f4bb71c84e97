import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.metrics import PositionReport, TokenReport

tokens = st.tuples(st.integers(0, 4), st.floats(0.125, 8, width=32))


def token_names(ids):
    return [f"w{i}" if i else "\n" for i in ids]


def pack_rows(rows, side):
    return packed.pack([torch.tensor([token[side] for token in row]) for row in rows])


@given(st.lists(st.lists(tokens, min_size=1, max_size=9), min_size=1, max_size=5))
def test_tokens_and_positions_equal_a_loop(rows):
    by_token, by_position = TokenReport(5, token_names), PositionReport()
    nll, ids = pack_rows(rows, 1), pack_rows(rows, 0)
    by_token.update(nll, ids)
    by_position.update(nll)
    every = [token for row in rows for token in row]
    plain = by_token.to_python()
    assert plain["all"]["tokens"] == len(every)
    mean = sum(value for _, value in every) / len(every)
    assert plain["all"]["nll"] == pytest.approx(mean)
    assert plain["all"]["perplexity"] == pytest.approx(math.exp(mean))
    assert plain["all"]["bits"] == pytest.approx(mean / math.log(2))
    sums = {i: [value for j, value in every if j == i] for i, _ in every}
    found = {of["token"]: (of["count"], of["nll"]) for of in plain["by_token"]}
    assert found == {
        token_names([i])[0]: (len(values), pytest.approx(sum(values) / len(values))) for i, values in sums.items()
    }
    losses = [of["count"] * of["nll"] for of in plain["by_token"]]
    assert losses == pytest.approx(sorted(losses, reverse=True))
    for name, first, last in (("1", 1, 1), ("2 to 3", 2, 3), ("4 to 7", 4, 7), ("8 to 15", 8, 15)):
        values = [value for row in rows for _, value in row[first - 1 : last]]
        of = by_position.to_python()["by_place"].get(name, {"tokens": 0})
        assert of["tokens"] == len(values)
        if values:
            assert of["nll"] == pytest.approx(sum(values) / len(values))


def test_the_table_of_tokens():
    metric = TokenReport(30, token_names)
    metric.update(
        torch.cat([torch.tensor([10.0, 20.0]), torch.ones(24)]),
        torch.cat([torch.zeros(2), torch.arange(1, 25)]).long(),
    )
    table = metric.table()
    assert table.header == ("token", "count", "NLL per token", "share of all NLL")
    assert len(table.sections[0]) == 20
    assert table.sections[0][0] == ("'\\n'", "2", "15.000", "55.6%")
    assert table.sections[1] == [("all", "26", "2.077", "100.0%")]
    assert table.caption == "the 20 tokens of 25 that most of the loss comes from"


def test_the_table_of_positions():
    metric = PositionReport()
    metric.update(packed.pack([torch.tensor([1.0, 2.0, 4.0]), torch.tensor([3.0])]))
    table = metric.table()
    assert table.header == ("place in the row", "tokens", "NLL per token", "perplexity", "bits")
    assert table.sections == [
        [("1", "2", "2.000", "7.389", "2.885"), ("2 to 3", "2", "3.000", "20.086", "4.328")],
    ]


def test_continuous_text_has_no_positions():
    metric = PositionReport()
    metric.update(torch.ones(3))
    assert metric.to_python() == {"by_place": {}}
    assert not any(metric.table().sections)
