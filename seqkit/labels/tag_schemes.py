"""Tag schemes: how tags encode spans, and which tags may follow each other.

Schemes: ``BIO`` (IOB2: a span begins with B), ``IOB1`` (a span begins with B only if it directly follows a span of
the same type; Ramshaw and Marcus 1995, CoNLL-2003) and ``BIOES`` (E ends a span, S is a span of one token).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

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


def forbidden(tags: PackedSequence, allowed: Allowed, ignore_index: int = -100) -> PackedSequence:
    """Find the tags that may not follow the tags before them, or may not be the last.

    Args:
        tags: Data (N,), ids of tags. One outside [0, C) is unknown: it may be any tag. A tag after unknown ones is
            found if no tags in their places lead from the known tag before them to it.
        allowed: The allowed tags, on the same device.
        ignore_index: An id that is unknown, too.

    Returns:
        Data (N,), bool.
    """
    start, transitions, end = allowed
    size = len(start)
    is_known = (tags.data >= 0) & (tags.data < size) & (tags.data != ignore_index)
    if tags.data.device.type != "cpu" or not bool(is_known.all()):  # the host does not wait to see which
        return tags._replace(data=_dead_ends(tags, is_known, allowed))
    outside = size
    table = torch.ones(size + 1, size + 1, dtype=torch.bool)
    table[:size, :size], table[outside, :size], table[:size, outside] = transitions, start, end
    before, after = (packed.shift(tags, steps, outside).data for steps in (1, -1))
    return tags._replace(data=~table[before, tags.data] | ((after == outside) & ~table[tags.data, outside]))


def _dead_ends(tags: PackedSequence, is_known: Tensor, allowed: Allowed) -> Tensor:
    """Find the tokens (N,) that no allowed path through the known tags reaches, or at which none may end.

    After such a token, the paths begin again with it.
    """
    start, transitions, end = allowed
    layout = packed.PackedLayout.of(tags)
    names = torch.arange(len(start), device=start.device)
    possible = (tags.data[:, None] == names) | ~is_known[:, None]  # (N, C)
    links = transitions.float()
    found = torch.zeros_like(is_known)
    reached, first = possible[:0], 0
    for position, count in enumerate(layout.sizes):
        here = possible[first : first + count]
        paths = here & (start if position == 0 else (reached[:count].float() @ links) > 0)  # (count, C)
        longer = layout.sizes[position + 1] if position + 1 < len(layout.sizes) else 0
        paths[longer:] &= end
        is_dead = ~paths.any(1)
        found[first : first + count] = is_dead
        reached = torch.where(is_dead[:, None], here, paths)
        first += count
    return found


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


def read_spans(tags: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Read the spans of a sequence of tags of any scheme.

    Every tag but ``O`` belongs to a span, also one that the scheme does not allow there: a span begins at B and S,
    after E, S and ``O``, and where the type changes. :class:`seqkit.metrics.SpanF1` counts the same spans.

    Args:
        tags: The prefix and the type of each token's tag; see :func:`parse_tags`.

    Returns:
        Each span's ``type``, the position of its first token as ``start``, and of the token after its last as
        ``end``.
    """
    spans: list[dict[str, Any]] = []
    before = ("O", "")
    for position, (prefix, kind) in enumerate(tags):
        if prefix in "IE" and before[0] in "BI" and before[1] == kind:
            spans[-1]["end"] = position + 1
        elif prefix != "O":
            spans.append({"type": kind, "start": position, "end": position + 1})
        before = (prefix, kind)
    return spans
