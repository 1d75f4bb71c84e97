"""A request: the JSON of its body, what it may hold, and how much."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from seqkit.data.encoders import source_columns
from seqkit.options import near

_KEYS = ("row", "rows", "scores")
_KINDS = {str: "a text", list: "a list", dict: "an object", bool: "a boolean", type(None): "null"}


class TooLarge(ValueError):
    """A request above a limit of the server."""


class Limits(NamedTuple):
    """The most that one request may hold."""

    rows: int
    tokens: int
    bytes: int


class Request(NamedTuple):
    """The rows that one client wants predicted.

    Attributes:
        rows: The rows, each with the value of every column.
        tokens: Their number, before encoding.
        scores: Whether the answer holds probabilities.
        is_single: Whether the answer is one row's, not a list.
    """

    rows: list[dict[str, Any]]
    tokens: int
    scores: bool
    is_single: bool


class RequestReader:
    """Check the bodies of requests.

    Args:
        spec: The model's data spec.
        limits: The most that one request may hold.
    """

    def __init__(self, spec: Mapping[str, Any], limits: Limits) -> None:
        inputs = spec["inputs"]
        self.limits = limits
        self._columns = source_columns(inputs)
        # Their sequences have lengths of their own: the main input, or both of a pair.
        counted = {
            name: entry for i, (name, entry) in enumerate(inputs.items()) if i == 0 or entry.get("unaligned")
        }
        self._counted = source_columns(counted)

    def read(self, body: Any) -> Request:
        """Check a request's body.

        Args:
            body: What the JSON holds: ``{"row": ...}`` or ``{"rows": [...]}``, and ``"scores"``.

        Raises:
            TooLarge: It holds more than the limits allow.
            ValueError: It is of another form. Values of rows are checked by the model.
        """
        if isinstance(body, bytes):  # FastAPI parses nothing that is not declared as JSON
            raise ValueError("the body is not declared as JSON; send the header Content-Type: application/json")
        if not isinstance(body, dict):
            raise ValueError(f'the body is {_kind(body)}; send an object, {{"row": ...}} or {{"rows": [...]}}')
        for key in body:
            if key not in _KEYS:
                raise ValueError(
                    f"the body has a key {key!r}{near(key, _KEYS)}; it may have row or rows, and scores"
                )
        if ("row" in body) == ("rows" in body):
            given = "both row and rows" if "row" in body else "neither row nor rows"
            raise ValueError(f"the body has {given}; give one row as row, or a list of rows as rows")
        scores = body.get("scores", False)
        if not isinstance(scores, bool):
            raise ValueError(f"scores is {_kind(scores)}; give true or false")
        rows = [body["row"]] if "row" in body else body["rows"]
        if not isinstance(rows, list):
            raise ValueError(f"rows is {_kind(rows)}; give a list of rows, or one row as row")
        if len(rows) > self.limits.rows:
            raise TooLarge(
                f"the request has {len(rows):,} rows, and the server takes {self.limits.rows:,} at once; send "
                f"several requests, or start the server with a larger --max_rows"
            )
        named = [self._with_columns(number, row) for number, row in enumerate(rows)]
        tokens = sum(_length(row.get(column)) for row in named for column in self._counted)
        if tokens > self.limits.tokens:
            raise TooLarge(
                f"the request has {tokens:,} tokens, and the server takes {self.limits.tokens:,} at once; send "
                f"several requests, or start the server with a larger --max_request_tokens"
            )
        return Request(named, tokens, scores, "row" in body)

    def _with_columns(self, number: int, row: Any) -> dict[str, Any]:
        """Return a row with the names of its columns; a value alone is that of the only column."""
        if isinstance(row, dict):
            return row
        if len(self._columns) > 1:
            raise ValueError(
                f"row {number}: {_kind(row)}, but the model reads the columns {', '.join(self._columns)}; give an "
                f"object with these keys"
            )
        return {self._columns[0]: row}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list) else 1


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
