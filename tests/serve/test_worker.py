import json
import queue
import signal
import time

import pytest

from seqkit.serve.requests import Limits, RequestReader
from seqkit.serve.worker import PredictAPI
from tests.serve.cases import TAGGER, StubModel


class Waiting(queue.Queue):
    """A queue that nobody fills while the loop waits."""

    def get(self, block=True, timeout=None):
        return super().get(block=False)


class Transport:
    """Collects what the loop sends: by the request's id, the status and the JSON."""

    def __init__(self):
        self.sent = {}

    def send(self, item, consumer_id):
        uid, (response, *_) = item
        assert uid not in self.sent, "answered twice"
        assert response.headers["content-type"] == "application/json"
        self.sent[uid] = response.status_code, json.loads(response.body)


@pytest.fixture
def worker():
    """A worker with a stub for the model, and a function that runs its loop once."""
    api = PredictAPI("none.ckpt", trust=(), max_tokens=6, limits=Limits(rows=5, tokens=20, bytes=100))
    api.model, api.request_timeout = StubModel(), 30.0
    api.reader = RequestReader({"inputs": {"words": {}}}, api.limits)
    api.waiting, api.transport = Waiting(), Transport()

    def ask(uid, body, since=None):
        api.waiting.put((0, uid, time.monotonic() if since is None else since, body))

    api.ask = ask
    api.turn = lambda: api.loop.run(api, "cpu", 0, api.waiting, api.transport, {}, None)
    return api


def test_what_waits_is_one_batch_under_the_budget(worker):
    for uid, count in (("a", 2), ("b", 3), ("c", 4), ("d", 1)):
        worker.ask(uid, {"row": ["w"] * count})
    worker.turn()
    assert list(worker.transport.sent) == ["a", "b", "c"]  # the third reaches the budget of 6
    worker.turn()
    assert list(worker.transport.sent) == ["a", "b", "c", "d"]
    assert worker.model.calls == [3, 1]
    assert worker.transport.sent["c"] == (200, {"tags": ["W"] * 4})


def test_a_request_above_the_budget_is_a_batch_of_its_own(worker):
    worker.ask("a", {"row": ["w"] * 15})
    worker.ask("b", {"row": ["w"]})
    worker.turn()
    assert list(worker.transport.sent) == ["a"]


def test_a_wrong_body_is_refused_and_the_others_are_answered(worker):
    worker.ask("a", {"row": ["w"]})
    worker.ask("b", {"rows": [["w"]] * 6})
    worker.ask("c", "text")
    worker.ask("d", {"row": []})
    worker.ask("e", {"row": ["x"]})
    worker.turn()
    sent = worker.transport.sent
    assert {uid: status for uid, (status, _) in sent.items()} == {"a": 200, "b": 413, "c": 422, "d": 422, "e": 200}
    assert sent["d"][1] == {"detail": "row 0: there are no words; leave the row out"}


def test_a_request_that_waited_too_long(worker):
    worker.ask("a", {"row": ["w"]}, since=time.monotonic() - 31)
    worker.ask("b", {"row": ["w"]})
    worker.turn()
    late = {"detail": "the request waited for more than 30 s; the server is too busy"}
    assert worker.transport.sent == {"a": (503, late), "b": (200, {"tags": ["W"]})}
    worker.request_timeout = False
    worker.ask("c", {"row": ["w"]}, since=time.monotonic() - 31)
    worker.turn()
    assert worker.transport.sent["c"][0] == 200


def test_what_waits_is_answered_before_the_process_ends(worker):
    worker.ask("a", {"row": ["w"]})
    worker.loop.stop(signal.SIGTERM, None)
    worker.turn()
    assert list(worker.transport.sent) == ["a"]
    with pytest.raises(SystemExit) as ended:
        worker.turn()
    assert not ended.value.code


def test_an_idle_turn_sends_nothing(worker):
    worker.turn()
    assert not worker.transport.sent


def test_the_process_ends_with_the_server(worker, monkeypatch):
    def get(timeout):
        raise EOFError  # as of a process that has ended

    monkeypatch.setattr(worker.waiting, "get", get)
    with pytest.raises(SystemExit):
        worker.turn()


def test_setup_loads_the_model():
    api = PredictAPI(str(TAGGER), trust=(), max_tokens=6, limits=Limits(5, 20, 100))
    api.setup("cpu")
    assert not api.model.training
    request = api.decode_request({"row": ["a", "b"]})
    assert request.tokens == 2
    (answer,) = api.predict([request])
    assert answer.status == 200
