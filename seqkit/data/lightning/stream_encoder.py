"""Encode the rows of a stream; report or refuse labels that training lacks, and tags in a wrong order."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import get_worker_info

from seqkit.data.batching.rank_assignment import rank_and_world_size
from seqkit.data.encoders import LabelEncoder, build_encoder, encode_table, encoder_classes
from seqkit.data.lightning.tag_order import TagOrder, describe_broken, find_broken_rows
from seqkit.data.rows.checks import RowError
from seqkit.data.unseen import find_unseen


class StreamEncoder:
    """Encode tables of a stream; see :func:`~seqkit.data.encoders.encode_table`.

    Args:
        spec: The data spec, with the labels that training lacks; see :func:`~seqkit.data.unseen.add_unseen`.
        split: The name of the split, for errors.
        features: The types of the columns; None to infer them from a table.
        with_targets: Whether to encode targets too.
        unseen_labels: By name of the inputs and targets with labels, the policy for a label that training lacks:
            ``count`` warns about the first one, ``error`` refuses it.
        orders: By target, the tags that a constrained decoder allows. Another order is refused in training;
            otherwise the first one is reported.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        split: str,
        *,
        features: Features | None,
        with_targets: bool,
        unseen_labels: Mapping[str, str],
        orders: Mapping[str, TagOrder],
    ) -> None:
        self.spec = spec
        self.split = split
        self.features = features
        self.with_targets = with_targets
        self._classes = encoder_classes(spec)
        self._unreported = dict(unseen_labels)
        self._orders = dict(orders)

    def __call__(self, table: pa.Table, first_row: int) -> pa.Table:
        """Encode some rows.

        Args:
            table: The rows.
            first_row: The number of the first one, for errors.

        Raises:
            RowError: A value cannot be encoded, a label is refused, or the order of a training row's tags.
        """
        encoded = encode_table(
            table,
            first_row,
            spec=self.spec,
            split=self.split,
            features=self.features,
            with_targets=self.with_targets,
            classes=self._classes,
        )
        for name in list(self._unreported):
            self._report(name, table, first_row)
        for name in list(self._orders):
            self._check_order(name, encoded.column(name).combine_chunks(), first_row)
        return encoded

    def _report(self, name: str, table: pa.Table, first_row: int) -> None:
        """Warn about the first label of a column that training lacks, or refuse it."""
        is_input = name in self.spec["inputs"]
        column, encoder = self._column(name)
        known = self.features if self.features is not None else Features.from_arrow_schema(table.schema)
        rows = Dataset(table.select([column]), info=DatasetInfo(features=Features({column: known[column]})))
        unseen = find_unseen(rows, encoder, column)
        if not unseen:
            return
        label = min(unseen, key=lambda label: label.row)
        text = f"the training split has no label {label.name!r}; "
        policy = self._unreported.pop(name)
        if policy == "count":
            text += "such labels are " + (
                "left out of the input; " if is_input else "errors in the metrics, and left out of the loss; "
            )
        text += f"to make it a class, name all labels: {type(encoder).__name__}(names=[...])"
        self._refuse_or_warn(first_row + label.row, text, column, refuse=policy == "error")

    def _check_order(self, name: str, tags: pa.Array, first_row: int) -> None:
        """Refuse the first training row whose tags a constrained decoder does not allow, or warn about another."""
        column, encoder = self._column(name)
        order = self._orders[name]
        broken = find_broken_rows(tags, encoder, order)
        if not broken:
            return
        text = describe_broken(broken, len(tags), self.split, order.scheme)
        if self.split != "train":
            del self._orders[name]
        self._refuse_or_warn(first_row + broken[0].row, text, column, refuse=self.split == "train")

    def _column(self, name: str) -> tuple[str, LabelEncoder]:
        """Return the column and the encoder of an input or target."""
        entry = self.spec["inputs"].get(name) or self.spec["targets"][name]
        encoder = build_encoder(entry)
        assert isinstance(encoder, LabelEncoder)
        return entry.get("column", name), encoder

    def _refuse_or_warn(self, row: int, text: str, column: str, *, refuse: bool) -> None:
        whole = rank_and_world_size()[1] == 1 and get_worker_info() is None
        place = " of the stream" if whole else " of a share of the stream"
        error = RowError(row, text, column, self.split, place)
        if refuse:
            raise error
        rank_zero_warn(str(error))
