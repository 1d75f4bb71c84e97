"""Rows whose tags a constrained decoder does not allow where they are."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from seqkit import packed
from seqkit.data.encoders import LabelEncoder, flatten
from seqkit.labels import Allowed, forbidden

_AROUND = 2  # tags before and after, in a message


class TagOrder(NamedTuple):
    """The tags that a decoder allows where they are, without its model: workers get this object.

    Attributes:
        scheme: The name of the scheme, for messages.
        allowed: Allowed first tags, transitions and last tags, on the CPU.
        ignore_index: The id of an unknown tag.
    """

    scheme: str
    allowed: Allowed
    ignore_index: int


class BrokenRow(NamedTuple):
    """A row, the first of its tags that is not allowed where it is, and the names of the tags around."""

    row: int
    position: int
    names: list[str | None]


def tag_orders(trainer: Any) -> dict[str, TagOrder]:
    """Return what the constrained decoders of the trainer's model allow, by target."""
    heads = getattr(getattr(trainer, "lightning_module", None), "heads", None)
    return {
        name: TagOrder(head.scheme, Allowed(*(table.cpu() for table in head.allowed_tags)), head.ignore_index)
        for name, head in (heads.items() if isinstance(heads, dict) else ())
        if getattr(head, "is_constrained", False)
    }


def find_broken_rows(tags: pa.Array, encoder: LabelEncoder, order: TagOrder) -> list[BrokenRow]:
    """Return the rows with tags that are not allowed, in their order.

    Args:
        tags: The encoded tags of each row.
        encoder: The encoder, for their names.
        order: The allowed tags.
    """
    elements, lengths = flatten(tags)
    rows = np.flatnonzero(lengths)
    pack = packed.pack(torch.tensor(elements.to_numpy()), torch.from_numpy(lengths[rows]))
    marks = forbidden(pack, order.allowed, order.ignore_index).data.nonzero()[:, 0]
    if not len(marks):
        return []
    wrong, positions = rows[packed.sequences(pack)[marks].numpy()], packed.positions(pack)[marks].numpy()
    broken = []
    for row in np.unique(wrong).tolist():
        position = int(positions[wrong == row].min())
        around = tags[row].as_py()[max(position - _AROUND, 0) : position + _AROUND + 1]
        broken.append(BrokenRow(row, position, encoder.decode([around])[0]))
    return broken


def describe_broken(broken: list[BrokenRow], rows: int, split: str, scheme: str) -> str:
    """Return the message about some of the rows of a split.

    Args:
        broken: The rows with tags that are not allowed.
        rows: The number of rows that were looked at.
        split: The name of the split.
        scheme: The name of the scheme.
    """
    first = broken[0]
    tag = first.names[min(first.position, _AROUND)]
    out = "" if split == "train" else ", and the loss leaves them out, because the decoder cannot give them"
    return (
        f"tag {tag!r} at position {first.position} breaks the scheme {scheme} (around it: {first.names}); "
        f"{len(broken)} of {rows} rows have such tags{out}; correct or drop these rows, give their scheme "
        f"(scheme='IOB1', say), or set constrained=False"
    )
