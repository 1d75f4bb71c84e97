"""Tag schemes: how tags encode spans, and which tags may follow each other.

Schemes: ``BIO`` (IOB2: a span begins with B), ``IOB1`` (a span begins with B only if it directly follows a span of
the same type; Ramshaw and Marcus 1995, CoNLL-2003) and ``BIOES`` (E ends a span, S is a span of one token).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

Scheme = Literal["BIO", "IOB1", "BIOES"]


class Allowed(NamedTuple):
    """Allowed first tags, transitions and last tags; :func:`allowed_transitions` computes those of a scheme.

    Attributes:
        start: (C,), whether a sequence may begin with this tag.
        transitions: (C, C), whether the tag of the row may be followed by the tag of the column.
        end: (C,), whether a sequence may end with this tag.
    """

    start: Tensor
    transitions: Tensor
    end: Tensor


def detect_scheme(names: Sequence[str]) -> Scheme | None:
    """Detect the scheme that tag names follow.

    BIO and IOB1 have the same names; these are detected as BIO.

    Args:
        names: The C tag names.

    Returns:
        The scheme, or None if the names follow none.
    """
    prefixes = {name[0] for name in names if name[1:2] == "-" and len(name) > 2}
    if not prefixes or any(name != "O" and not (name[1:2] == "-" and len(name) > 2) for name in names):
        return None
    if prefixes <= {"B", "I"}:
        return "BIO"
    return "BIOES" if prefixes <= set("BIES") else None


def allowed_transitions(names: Sequence[str], scheme: Scheme) -> Allowed:
    """Compute the transitions that a scheme allows, for :class:`seqkit.nn.CRF`.

    Args:
        names: The C tag names.
        scheme: The scheme.

    Raises:
        ValueError: The scheme is unknown, or a name does not belong to it.
    """
    tags = [("O", ""), *parse_tags(names, scheme)]  # before the first token and after the last is outside, too

    def follows(before: tuple[str, str], after: tuple[str, str]) -> bool:
        (p, kind), (q, other) = before, after
        if scheme == "BIO":
            return q != "I" or (p in "BI" and kind == other)
        if scheme == "IOB1":
            return q != "B" or (p in "BI" and kind == other)
        return (q in "IE" and kind == other) if p in "BI" else q in "OBS"

    table = torch.tensor([[follows(a, b) for b in tags] for a in tags])
    return Allowed(table[0, 1:], table[1:, 1:], table[1:, 0])


def forbidden(tags: PackedSequence, allowed: Allowed) -> PackedSequence:
    """Find the tags that may not follow the tag before them, or may not be the last.

    Args:
        tags: Data (N,), ids of tags. One outside [0, C) is unknown: it may be any tag that has allowed neighbours.
        allowed: The allowed tags, on the same device.

    Returns:
        Data (N,), bool.
    """
    start, transitions, end = allowed
    size = len(start)
    outside, unknown = size, size + 1
    table = torch.ones(size + 2, size + 2, dtype=torch.bool, device=start.device)
    table[:size, :size], table[outside, :size], table[:size, outside] = transitions, start, end
    table[unknown, :size], table[:size, unknown] = start | transitions.any(0), end | transitions.any(1)
    ids = torch.where((tags.data >= 0) & (tags.data < size), tags.data, unknown)
    before, after = (packed.shift(tags._replace(data=ids), steps, outside).data for steps in (1, -1))
    return tags._replace(data=~table[before, ids] | ((after == outside) & ~table[ids, outside]))


def parse_tags(names: Sequence[str], scheme: Scheme) -> list[tuple[str, str]]:
    """Split each tag into its prefix and type; the tag outside all spans is ``("O", "")``.

    Args:
        names: The C tag names.
        scheme: The scheme.

    Raises:
        ValueError: The scheme is unknown, or a name does not belong to it.
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}; give one of {', '.join(get_args(Scheme))}")
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    for name in names:
        if name != "O" and (name[:1] not in prefixes or name[1:2] != "-" or len(name) < 3):
            raise ValueError(
                f"tag {name!r} is not one of scheme {scheme}: O, or one of {', '.join(prefixes)}, a hyphen "
                f"and a type (B-person); give another scheme, or none"
            )
    return [("O", "") if name == "O" else (name[0], name[2:]) for name in names]
