"""Ids of label sequences whose length differs from the input's, for CTC."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqkit.data.encoders.columns import (
    flatten,
    is_list_feature,
    is_text_feature,
    iter_column,
    leaf_feature,
    map_distinct,
    require_values,
    sum_segments,
    unflatten,
)
from seqkit.data.encoders.labels import (
    LabelEncoder,
    LabelValues,
    check_labels,
    check_names,
    label_name,
    no_labels_error,
    require_labels,
)
from seqkit.data.rows.checks import RowError
from seqkit.labels import END, UNKNOWN
from seqkit.options import flag


class LabelSequences(LabelEncoder):
    """Label sequences with lengths of their own: the phones of a word, the text of an utterance.

    Reads a column of strings, whose characters are the labels; of lists of labels (strings, `ClassLabel` ids or
    integers); or of lists of such lists: several *references* per row, each of which is correct. The id -1 ends
    each reference, and a label that is not in the training split becomes -2; see :mod:`seqkit.labels`.

    Args:
        names: The labels, in the order of their ids. By default those of a `ClassLabel`, or the sorted labels of
            the training split.
        characters: Whether a list of strings holds several references whose labels are characters.
    """

    kind = "labels"
    item_feature = datasets.Value("int64")

    def __init__(self, names: list[str] | None = None, characters: bool = False) -> None:
        self.names = check_names("names", names)
        self.characters = flag("characters", characters)

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the labels of a column."""
        if self.names is not None:
            return self
        feature = dataset.features[column]
        leaf = leaf_feature(feature)
        if isinstance(leaf, datasets.ClassLabel):
            return type(self)(list(leaf.names), self.characters)

        def distinct_labels(values: pa.Array) -> list[Any]:
            return list(pc.unique(self._read_references(values, feature).labels).to_pylist())

        found = {label for labels in iter_column(dataset, column, distinct_labels) for label in labels}
        names = [str(label_name(label, leaf)) for label in sorted(found)]
        if not names:
            raise no_labels_error(column)
        return type(self)(names, self.characters)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings, lists of labels or lists of lists of labels; see the base class."""
        labels, leaf, lengths, counts = self._read_references(values, feature)
        index = {name: number for number, name in enumerate(self.fitted_names)}
        ids = np.full(len(labels) + len(lengths), END, dtype=np.int64)
        is_label = np.ones(len(ids), dtype=bool)
        is_label[(lengths + 1).cumsum() - 1] = False
        ids[is_label] = map_distinct(
            labels, lambda label: index.get(str(label_name(label, leaf)), UNKNOWN), np.int64
        )
        return unflatten(pa.array(ids), sum_segments(lengths + 1, counts))

    def read_labels(self, values: pa.Array, feature: Any) -> LabelValues:
        """Return the labels of a column; see the base class."""
        labels, leaf, lengths, counts = self._read_references(values, feature)
        return LabelValues(labels, leaf, sum_segments(lengths, counts))

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the references of each row of ids, each a list of names; None for an unknown label."""
        names = self.fitted_names
        rows = []
        for row in values:
            references: list[list[str | None]] = []
            reference: list[str | None] = []
            for number in map(int, row):
                if number == END:
                    references.append(reference)
                    reference = []
                else:
                    reference.append(None if number == UNKNOWN else names[number])
            rows.append(references)
        return rows

    def _read_references(self, values: pa.Array, feature: Any) -> "_References":
        counts = np.ones(len(values), dtype=np.int64)
        if is_list_feature(feature) and (self.characters or is_list_feature(feature.feature)):
            values, counts = flatten(values)
            require_values(values, counts)
            feature = feature.feature
            for row in np.flatnonzero(counts == 0)[:1]:
                raise RowError(int(row), "there is no reference; give one (it may be empty), or drop the row")
        if is_text_feature(feature):
            require_values(values)
            values = pa.array([list(text) for text in values.to_pylist()], pa.list_(pa.string()))
        elif is_list_feature(feature) and not is_list_feature(feature.feature):
            feature = feature.feature
        else:
            raise RowError(
                0, f"LabelSequences reads strings, lists of labels or lists of these, not {feature}; use Labels"
            )
        labels, lengths = flatten(values)
        check_labels(labels, feature)
        require_labels(labels, feature, sum_segments(lengths, counts))
        return _References(labels, feature, lengths, counts)


class _References(NamedTuple):
    """All references of a column."""

    labels: pa.Array  # of all references, concatenated
    feature: Any  # of a label
    lengths: NDArray[np.int64]  # labels of each reference
    counts: NDArray[np.int64]  # references of each row
