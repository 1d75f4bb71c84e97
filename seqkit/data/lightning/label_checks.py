"""Check the labels of a split before a stage reads it: labels that training lacks, and the order of tags."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.data.encoders import UNSEEN, LabelEncoder, iter_column
from seqkit.data.lightning.encoded_splits import EncodedSplits
from seqkit.data.lightning.unseen import report_unseen
from seqkit.data.rows.checks import RowError

_AROUND = 2  # tags before and after, in a message


class _Broken(NamedTuple):
    """A row, the first of its tags that is not allowed where it is, and the names of the tags around."""

    row: int
    position: int
    names: list[str | None]


def check_labels(encoded: EncodedSplits, split: str, policy: str, trainer: Any, *, with_targets: bool) -> None:
    """Check the labels of a split before a stage reads it; those of a stream are not known yet.

    Labels that training lacks are reported or refused; see :func:`report_unseen`. A row whose tags the decoder of
    the trainer's model does not allow has no probability. In the training split it is refused. In other splits such
    rows are reported once, and the loss leaves them out.

    Args:
        encoded: The splits.
        split: The name of the split.
        policy: The option ``unseen_labels``.
        trainer: The trainer, if there is one.
        with_targets: Whether the targets are read.

    Raises:
        RowError: A label is refused, or the order of a training row's tags.
    """
    report_unseen(encoded, split, policy, trainer, with_targets=with_targets)
    rows: Any = encoded.splits.get(split)
    heads = getattr(getattr(trainer, "lightning_module", None), "heads", {})
    for name in encoded.spec["targets"] if with_targets and isinstance(rows, Dataset) else ():
        column = encoded.spec["targets"][name].get("column", name)
        head: Any = heads.get(name)
        if not getattr(head, "is_constrained", False) or column not in rows.column_names:
            continue
        if (split, name, "order") in encoded.reported:
            continue
        encoder = encoded.label_encoders()[name].with_unseen([UNSEEN])
        try:
            broken = _broken_rows(rows, encoder, column, head.forbidden_tags)
        except RowError:  # encoding the column says why
            continue
        if broken:
            error = RowError(broken[0].row, _describe(broken, len(rows), split, head.scheme), column, split)
            encoded.report(error, refuse=split == "train")
            encoded.reported.add((split, name, "order"))


def _describe(broken: Sequence[_Broken], rows: int, split: str, scheme: str) -> str:
    first = broken[0]
    tag = first.names[min(first.position, _AROUND)]
    out = "" if split == "train" else ", and the loss leaves them out, because the decoder cannot give them"
    return (
        f"tag {tag!r} at position {first.position} breaks the scheme {scheme} (around it: {first.names}); "
        f"{len(broken)} of {rows} rows have such tags{out}; correct or drop these rows, give their scheme "
        f"(scheme='IOB1', say), or set constrained=False"
    )


def _broken_rows(
    rows: Dataset, encoder: LabelEncoder, column: str, find: Callable[[PackedSequence], PackedSequence]
) -> list[_Broken]:
    """Return the rows with tags that are not allowed; see :meth:`seqkit.Tagger.forbidden_tags`."""
    feature = rows.features[column]

    def read(values: pa.Array) -> tuple[int, list[_Broken]]:
        encoded = encoder.encode_array(values, feature)
        ids, lengths = torch.tensor(encoded.flatten().to_numpy()), encoded.value_lengths().to_pylist()
        sequences = {row: tags for row, tags in enumerate(torch.split(ids, lengths)) if len(tags)}
        wrong = packed.unpack(find(packed.pack(list(sequences.values())))) if sequences else []
        found = []
        for (row, tags), marks in zip(sequences.items(), wrong, strict=True):
            for position in marks.nonzero()[:1, 0].tolist():
                around = tags[max(position - _AROUND, 0) : position + _AROUND + 1]
                found.append(_Broken(row, position, encoder.decode([around.tolist()])[0]))
        return len(values), found

    broken: list[_Broken] = []
    first = 0
    for count, found in iter_column(rows, column, read):
        broken += [each._replace(row=first + each.row) for each in found]
        first += count
    return broken
