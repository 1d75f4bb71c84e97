"""Tag schemes: spans written as tags, and which tags may follow which.

Schemes: ``BIO`` (IOB2: a span begins with B), ``IOB1`` (B only where a span follows one of its own type; Ramshaw
and Marcus 1995, CoNLL-2003) and ``BIOES`` (E ends a span, S is one alone).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Scheme = Literal["BIO", "IOB1", "BIOES"]


class Allowed(NamedTuple):
    """What may stand where; of a tag scheme, `seqkit.labels.tag_schemes.allowed_transitions` gives it.

    Attributes:
        start: (C,), whether a sequence may begin with a tag.
        transitions: (C, C), whether a tag (row) may be followed by another (column).
        end: (C,), whether a sequence may end with a tag.
    """

    start: Tensor
    transitions: Tensor
    end: Tensor


def detect_scheme(names: Sequence[str]) -> Scheme | None:
    """The scheme that tag names follow, or None.

    The same names serve BIO and IOB1; they are taken for BIO.

    Args:
        names: The C tag names.
    """
    prefixes = {name[0] for name in names if name[1:2] == "-" and len(name) > 2}
    if not prefixes or any(name != "O" and not (name[1:2] == "-" and len(name) > 2) for name in names):
        return None
    if prefixes <= {"B", "I"}:
        return "BIO"
    return "BIOES" if prefixes <= set("BIES") else None


def allowed_transitions(names: Sequence[str], scheme: Scheme) -> Allowed:
    """What may stand where in a scheme, for `seqkit.nn.CRF`.

    Args:
        names: The C tag names.
        scheme: The scheme.

    Raises:
        ValueError: A name is none of the scheme.
    """
    tags = [("O", ""), *parse_tags(names, scheme)]  # outside stands before the first token and after the last, too

    def follows(before: tuple[str, str], after: tuple[str, str]) -> bool:
        (p, kind), (q, other) = before, after
        if scheme == "BIO":
            return q != "I" or (p in "BI" and kind == other)
        if scheme == "IOB1":
            return q != "B" or (p in "BI" and kind == other)
        return (q in "IE" and kind == other) if p in "BI" else q in "OBS"

    table = torch.tensor([[follows(a, b) for b in tags] for a in tags])
    return Allowed(table[0, 1:], table[1:, 1:], table[1:, 0])


def parse_tags(names: Sequence[str], scheme: Scheme) -> list[tuple[str, str]]:
    """Prefix and type of each tag; outside is ``("O", "")``."""
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme {scheme!r} is none of {', '.join(get_args(Scheme))}")
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    for name in names:
        if name != "O" and (name[:1] not in prefixes or name[1:2] != "-" or len(name) < 3):
            raise ValueError(
                f"tag {name!r} is not one of scheme {scheme}: O, or one of {', '.join(prefixes)}, a hyphen and a "
                f"type (B-person); name another scheme, or none"
            )
    return [("O", "") if name == "O" else (name[0], name[2:]) for name in names]
