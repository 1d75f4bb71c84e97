"""Spans of tags that arrive in pieces."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqkit.labels import read_spans

Tag = tuple[str, str]
"""The prefix and the type of a tag; see :func:`seqkit.labels.parse_tags`."""


class LastTag(NamedTuple):
    """What the spans of later tags depend on.

    Attributes:
        tag: The last tag so far.
        start: The position of the first token of its span, if it is in one.
    """

    tag: Tag = ("O", "")
    start: int = 0


def continue_spans(tags: Sequence[Tag], position: int, last: LastTag) -> tuple[list[dict[str, Any]], LastTag]:
    """Read the spans that contain new tokens.

    Args:
        tags: The tags of the new tokens, at least one.
        position: The number of tokens before these.
        last: The last tag before these.

    Returns:
        The spans in the form of :func:`seqkit.labels.read_spans`, with positions in the whole sequence. A span may
        begin before the new tokens, and later ones may continue the last. And the last tag.
    """
    spans = []
    for span in read_spans([last.tag, *tags]):
        start, end = (span[name] + position - 1 for name in ("start", "end"))
        if end > position:
            spans.append(span | {"start": last.start if start < position else start, "end": end})
    is_open = spans and spans[-1]["end"] == position + len(tags)
    return spans, LastTag(tags[-1], spans[-1]["start"] if is_open else 0)
