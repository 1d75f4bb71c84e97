import json
import math

import pytest

from seqkit import Tagger
from seqkit.serve.answers import answer_all, refusal, to_json
from seqkit.serve.requests import Limits, RequestReader, TooLarge
from tests.serve.cases import TAGGER, StubModel


def requests(*bodies, spec=None):
    reader = RequestReader(spec or {"inputs": {"words": {}}}, Limits(rows=100, tokens=10_000, bytes=100))
    return [reader.read(body) for body in bodies]


def answers(model, *bodies):
    return [(each.status, json.loads(each.body)) for each in answer_all(model, requests(*bodies), 100)]


def test_requests_are_one_call_and_are_answered_in_order():
    model = StubModel()
    found = answers(model, {"rows": [["a", "b"], ["c"]]}, {"row": ["d"]}, {"rows": []}, {"rows": [["e"]]})
    assert found == [
        (200, [{"tags": ["A", "B"]}, {"tags": ["C"]}]),
        (200, {"tags": ["D"]}),
        (200, []),
        (200, [{"tags": ["E"]}]),
    ]
    assert model.calls == [4]


def test_those_with_scores_are_a_call_of_their_own():
    model = StubModel()
    found = answers(
        model, {"row": ["a"]}, {"row": {"words": ["b"]}}, {"row": ["c"], "scores": True}, {"row": ["d"]}
    )
    assert [found[i][1]["tags"] for i in range(4)] == [["A"], ["B"], ["C"], ["D"]]
    assert [("tags_scores" in each) for _, each in found] == [False, False, True, False]
    assert sorted(model.calls) == [1, 3]


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_a_bad_request_does_not_affect_the_others(bad):
    model = StubModel()
    bodies = [{"rows": [[f"w{i}"], ["x"]]} for i in range(7)]
    bodies[bad] = {"rows": [["fine"], []]}
    found = answers(model, *bodies)
    assert found[bad] == (422, {"detail": "row 1: there are no words; leave the row out"})
    assert [status for status, _ in found] == [422 if i == bad else 200 for i in range(7)]
    assert all(each[0]["tags"] == [f"W{i}"] for i, (_, each) in enumerate(found) if i != bad)
    assert len(model.calls) <= 7  # by halving, not one request after the other


def test_a_fault_of_the_server_is_logged_and_not_shown(caplog):
    found = answers(StubModel(), {"row": ["crash"]}, {"row": ["a"]})
    assert found[0] == (500, {"detail": "the server failed on this request; its log has the error"})
    assert found[1] == (200, {"tags": ["A"]})
    assert "out of memory" in caplog.text


def test_statuses_and_messages_of_errors():
    assert refusal(TooLarge("too many")) == (413, b'{"detail": "too many"}')
    assert refusal(KeyError("column 'a' is missing")) == (422, b'{"detail": "column \'a\' is missing"}')


def test_json_without_numbers_that_it_does_not_have():
    found = {"perplexity": math.inf, "nll": [0.5, math.nan], "text": "naïve \ud800"}
    assert json.loads(to_json(found)) == {"perplexity": None, "nll": [0.5, None], "text": "naïve \ud800"}
    assert json.loads(to_json("\ud800")) == "\ud800"


def test_answers_are_those_of_predict():
    model = Tagger.load_from_checkpoint(TAGGER, map_location="cpu")
    (column,) = {entry.get("column", name) for name, entry in model.spec["inputs"].items()}
    rows = [["one"], ["two", "words"], ["more", "words", "than", "that"]]
    bodies = [{"rows": rows[:2]}, {"row": rows[2]}, {"rows": [{column: rows[0]}], "scores": True}]
    found = [json.loads(each.body) for each in answer_all(model, requests(*bodies, spec=model.spec), 4)]
    assert found[0] == model.predict(rows[:2])
    assert found[1] == model.predict(rows[2:])[0]
    scored = model.predict(rows[:1], scores=True)[0]
    assert found[2][0].keys() == scored.keys()
    for bad in ([[]], [["a"], [1.5]], [{"other": ["a"]}], ["a", ["b"]]):
        named = [row if isinstance(row, dict) else {column: row} for row in bad]
        with pytest.raises((ValueError, TypeError, KeyError)) as raised:
            model.predict(named)
        (answer,) = answer_all(model, requests({"rows": bad}, spec=model.spec), 4)
        expected = raised.value.args[0] if isinstance(raised.value, KeyError) else str(raised.value)
        assert (answer.status, json.loads(answer.body)) == (422, {"detail": expected})
