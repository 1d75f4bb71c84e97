"""Tags of a row that is cut off: a span that the cut divides has no label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seqkit.data.encoders.base import IGNORE_INDEX
from seqkit.data.encoders.columns import flatten, unflatten
from seqkit.labels import detect_scheme


def add_cut(spec: dict[str, Any], max_length: int | None) -> dict[str, Any]:
    """Return a data spec that encodes rows which are cut off after some tokens.

    Args:
        spec: The data spec.
        max_length: The number of tokens that are kept; None for all.
    """
    if max_length is None:
        return spec
    targets = {
        name: entry | ({"cut": max_length} if _has_spans(entry) else {}) for name, entry in spec["targets"].items()
    }
    return spec | {"targets": targets}


def ignore_cut_spans(tags: pa.Array, names: Sequence[str], max_length: int) -> pa.Array:
    """Return the tags of each row, those of a span that the cut divides as labels that do not count.

    What is left of such a span would teach a wrong end, and the schemes with tags of ends do not allow it. A
    missing tag may continue the span before it.

    Args:
        tags: Lists of ids of ``names``; others are missing tags.
        names: The names of the tags, which follow a scheme.
        max_length: The number of tokens that are kept.
    """
    values, lengths = flatten(tags)
    ids = values.to_numpy().copy()
    starts = np.cumsum(lengths) - lengths
    for row in np.flatnonzero(lengths > max_length):
        cut = position = starts[row] + max_length
        while position > starts[row] and _may_continue(names, ids[position - 1], ids[position]):
            position -= 1
        ids[position:cut] = IGNORE_INDEX
    return unflatten(pa.array(ids), lengths)


def _has_spans(entry: dict[str, Any]) -> bool:
    labels = entry["kind"] == "class" and entry["per"] == "token"
    return labels and detect_scheme(entry["names"]) is not None


def _may_continue(names: Sequence[str], before: int, after: int) -> bool:
    """Whether a tag may continue the span of the tag before it."""
    first, second = (names[tag] if 0 <= tag < len(names) else None for tag in (before, after))
    opens = first is None or first[0] in "BI"
    continues = second is None or second[0] in "IE"
    return opens and continues and (first is None or second is None or first[2:] == second[2:])
