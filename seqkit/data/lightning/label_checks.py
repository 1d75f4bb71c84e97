"""Check the labels of a split before a stage reads it: labels that training lacks, and the order of tags."""

from typing import Any

import pyarrow as pa
from datasets import Dataset

from seqkit.data.encoders import UNSEEN, LabelEncoder, iter_column
from seqkit.data.lightning.encoded_splits import EncodedSplits
from seqkit.data.lightning.tag_order import BrokenRow, TagOrder, describe_broken, find_broken_rows, tag_orders
from seqkit.data.lightning.unseen import report_unseen
from seqkit.data.rows.checks import RowError


def check_labels(encoded: EncodedSplits, split: str, policy: str, trainer: Any, *, with_targets: bool) -> None:
    """Check the labels of a split before a stage reads it; those of a stream are checked as it is read.

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
    orders = tag_orders(trainer)
    for name in encoded.spec["targets"] if with_targets and isinstance(rows, Dataset) else ():
        column = encoded.spec["targets"][name].get("column", name)
        if name not in orders or column not in rows.column_names or (split, name, "order") in encoded.reported:
            continue
        encoder = encoded.label_encoders()[name].with_unseen([UNSEEN])
        try:
            broken = _broken_rows(rows, encoder, column, orders[name])
        except RowError:  # encoding the column says why
            continue
        if broken:
            text = describe_broken(broken, len(rows), split, orders[name].scheme)
            encoded.report(RowError(broken[0].row, text, column, split), refuse=split == "train")
            encoded.reported.add((split, name, "order"))


def _broken_rows(rows: Dataset, encoder: LabelEncoder, column: str, order: TagOrder) -> list[BrokenRow]:
    """Return the rows with tags that are not allowed."""
    feature = rows.features[column]

    def read(values: pa.Array) -> tuple[int, list[BrokenRow]]:
        return len(values), find_broken_rows(encoder.encode_array(values, feature), encoder, order)

    broken: list[BrokenRow] = []
    first = 0
    for count, found in iter_column(rows, column, read):
        broken += [each._replace(row=first + each.row) for each in found]
        first += count
    return broken
