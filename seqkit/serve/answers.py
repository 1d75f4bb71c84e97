"""Answers: requests that wait together are predicted together, and a bad one fails alone."""

import json
import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from seqkit.serve.requests import Request, TooLarge
from seqkit.tasks import SequenceModule

_REFUSED = (ValueError, TypeError, KeyError, OverflowError)
_LOGGER = logging.getLogger(__name__)


class Answer(NamedTuple):
    """The status and the JSON body of a response."""

    status: int
    body: bytes


def answer_all(model: SequenceModule, requests: Sequence[Request], max_tokens: int) -> list[Answer]:
    """Predict the rows of all requests together, and answer each.

    A request that the model refuses does not affect the others. Its message is that of ``model.predict`` on its
    own rows.

    Args:
        model: The model.
        requests: The requests.
        max_tokens: The token budget of a batch; rows of similar lengths share one.

    Returns:
        The answers, in the order of the requests.
    """
    alike: dict[bool, list[int]] = {}
    for place, request in enumerate(requests):
        alike.setdefault(request.scores, []).append(place)
    found: dict[int, Answer] = {}
    for places in alike.values():
        answers = _answer_alike(model, [requests[place] for place in places], max_tokens)
        found |= zip(places, answers, strict=True)
    return [found[place] for place in range(len(requests))]


def refusal(error: Exception) -> Answer:
    """Answer a request that cannot be predicted with the error's message."""
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else f"{error}"
    return Answer(413 if isinstance(error, TooLarge) else 422, to_json({"detail": message}))


def to_json(value: Any) -> bytes:
    """Write JSON. It has no numbers such as NaN, so they become null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # the escape of a surrogate is that of JSON


def _answer_alike(model: SequenceModule, requests: Sequence[Request], max_tokens: int) -> list[Answer]:
    """Answer requests with or without scores; where the model refuses some, find them by halving."""
    rows = [row for request in requests for row in request.rows]
    try:
        found = iter(_predict(model, rows, requests[0].scores, max_tokens))
    except Exception as error:
        if len(requests) > 1:
            middle = len(requests) // 2
            halves = (requests[:middle], requests[middle:])
            return [answer for half in halves for answer in _answer_alike(model, half, max_tokens)]
        if isinstance(error, _REFUSED):
            return [refusal(error)]
        _LOGGER.exception("a request could not be predicted")
        return [Answer(500, to_json({"detail": "the server failed on this request; its log has the error"}))]
    answers = []
    for request in requests:
        results = [next(found) for _ in request.rows]
        answers.append(Answer(200, to_json(results[0] if request.is_single else results)))
    return answers


def _predict(model: SequenceModule, rows: list[Any], scores: bool, max_tokens: int) -> list[dict[str, Any]]:
    if not rows:
        return []
    found: list[dict[str, Any]] = model.predict(rows, max_tokens=max_tokens, progress=False, scores=scores)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
