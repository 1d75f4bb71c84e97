"""Ids of labels: one or several per token or sequence."""

import copy
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import IGNORE_INDEX, Encoder, require_fitted
from seqkit.data.encoders.columns import (
    flatten,
    is_list_feature,
    iter_column,
    list_depth,
    locate,
    map_distinct,
    require_values,
    sum_segments,
    unflatten,
)
from seqkit.data.rows.checks import RowError

Lengths = NDArray[np.int64]

_UNKNOWN = -1

UNSEEN = "(unseen)"  # any label that training lacks: those of a stream are not known before it is read


class LabelValues(NamedTuple):
    """The labels of a column.

    Attributes:
        labels: Those of all rows, concatenated.
        feature: The `datasets` feature of a label.
        lengths: The number of labels of each row; None if each row is one label.
    """

    labels: pa.Array
    feature: Any
    lengths: Lengths | None


class LabelEncoder(Encoder):
    """An encoder of labels.

    Attributes:
        names: The classes, in the order of their ids, or None if the encoder is not fitted.
        ignore: Labels that are treated as missing.
        unseen: Labels beyond ``names``; see `with_unseen`.
    """

    names: list[str] | None
    ignore: list[str] | None = None
    unseen: Sequence[str] = ()
    _counted = True

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.fitted_names)

    @property
    def fitted_names(self) -> list[str]:
        """The classes; raises ValueError if the encoder is not fitted."""
        return require_fitted(self.names, self, "names")

    @abstractmethod
    def read_labels(self, values: pa.Array, feature: Any) -> LabelValues:
        """Return the labels of a column.

        Args:
            values: One value per row.
            feature: The `datasets` feature of the column.

        Raises:
            RowError: If the column does not have the labels that this encoder reads.
        """

    def with_unseen(self, unseen: Sequence[str], *, counted: bool = True) -> Self:
        """Return the encoder for a split that has labels beyond ``names``, which a model cannot predict.

        Args:
            unseen: These labels. ``(unseen)`` means all others, ``B-(unseen)`` all others that begin with B-.
            counted: Whether they get the ids after those of ``names``; otherwise `MultiLabels` leaves them out.
        """
        encoder = copy.copy(self)
        encoder.unseen, encoder._counted = tuple(unseen), counted
        return encoder


class Labels(LabelEncoder):
    """One class per token or per sequence, from `ClassLabel` ids, strings, integers or booleans.

    A missing label (null, a negative id of a `ClassLabel`, or -100) becomes -100, which losses and metrics ignore.

    Args:
        names: The classes, in the order of their ids. By default those of a `ClassLabel`, or the sorted labels of
            the training split.
        ignore: Labels to treat as missing.
    """

    kind = "class"
    item_feature = datasets.Value("int64")

    def __init__(self, names: list[str] | None = None, ignore: list[str] | None = None) -> None:
        self.names = check_names("names", names)
        self.ignore = check_names("ignore", ignore)

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the labels of a column."""
        if self.names is not None:
            return self
        depth = min(list_depth(dataset.features[column]), 1)
        names = _learn_names(dataset, column, depth, ignore=self.ignore or ())
        if len(names) == 1:
            raise ValueError(
                f"column {column!r} has one class only, {names[0]!r}: there is nothing to learn; use another "
                f"column, or give Labels(names=[...]) if other classes are to come"
            )
        return type(self)(names, self.ignore)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode labels, or lists of labels; see the base class."""
        found = self.read_labels(values, feature)
        ids = pa.array(_class_ids(self, found))
        return ids if found.lengths is None else unflatten(ids, found.lengths)

    def read_labels(self, values: pa.Array, feature: Any) -> LabelValues:
        """Return the labels of a column; see the base class."""
        lengths = None
        if is_list_feature(feature):
            values, lengths = flatten(values)
            feature = feature.feature
        check_labels(values, feature)
        return LabelValues(values, feature, lengths)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the name for each id, or the names for each row of ids; None for a negative id."""
        names = [*self.fitted_names, *self.unseen]

        def name(number: int) -> str | None:
            return None if number < 0 else names[number]

        return [[name(int(n)) for n in row] if np.ndim(row) else name(int(row)) for row in values]


class MultiLabels(LabelEncoder):
    """Any number of classes per token or per sequence, as a vector of zeros and ones, (C,) float32.

    Reads a list of labels for each sequence, or a list of such lists, one per token. A missing label among them is
    refused, because no loss ignores a part of a vector. As an input it needs a list of lists: the notes of each
    chord, say.

    Args:
        names: The classes; learned as by `Labels` if None.
    """

    kind = "multilabel"
    value_depth = 1

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = check_names("names", names)

    @property
    def item_feature(self) -> Any:
        """The `datasets` feature of a vector of C numbers, and one for each counted label that training lacks."""
        return datasets.List(datasets.Value("float32"), length=self._width)

    @property
    def _width(self) -> int:
        return self.size + (len(self.unseen) if self._counted else 0)

    def fit(self, dataset: datasets.Dataset, column: str) -> Self:
        """Return an encoder with the labels of a column."""
        if self.names is not None:
            return self
        depth = min(list_depth(dataset.features[column]), 2)
        if not depth:
            raise _no_lists_error(dataset.features[column])
        return type(self)(_learn_names(dataset, column, depth))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of labels, or lists of lists; see the base class."""
        found, counts, tokens = self._read_sets(values, feature)
        ids, width = _class_ids(self, found), self._width
        units = np.repeat(np.arange(len(counts)), counts)
        kept = ids < width
        multi_hot = np.zeros((len(counts), width), dtype=np.float32)
        multi_hot[units[kept], ids[kept]] = 1.0
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(multi_hot.ravel()), width)
        return vectors if tokens is None else unflatten(vectors, tokens)

    def read_labels(self, values: pa.Array, feature: Any) -> LabelValues:
        """Return the labels of a column; see the base class."""
        return self._read_sets(values, feature)[0]

    def _read_sets(self, values: pa.Array, feature: Any) -> tuple[LabelValues, Lengths, Lengths | None]:
        """Return the labels, the number of labels of each set and, if a row is a list of sets, how many it has."""
        if not is_list_feature(feature):
            raise _no_lists_error(feature)
        feature = feature.feature
        tokens = None
        if is_list_feature(feature):
            feature = feature.feature
            values, tokens = flatten(values)
        labels, counts = flatten(values)
        row_counts = counts if tokens is None else sum_segments(counts, tokens)
        require_labels(labels, feature, row_counts)
        check_labels(labels, feature)
        return LabelValues(labels, feature, row_counts), counts, tokens

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the names whose number is above one half, for each vector or each row of vectors."""
        names = [*self.fitted_names, *(self.unseen if self._counted else ())]

        def above(vector: Any) -> list[Any]:
            if np.ndim(vector) > 1 or not len(vector):
                return [above(inner) for inner in vector]
            return [name for name, value in zip(names, vector, strict=True) if value > 0.5]

        return [above(vector) for vector in values]


def check_names(option: str, names: Any) -> list[str] | None:
    """Return an option that is None or a list of different labels.

    Raises:
        TypeError: It is neither, or a label is not a string.
        ValueError: A label occurs twice.
    """
    if names is None:
        return None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{option}={names!r:.200}: must be a list of strings, or None")
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{option} contains {name!r} twice; each label has one id")
    return list(names)


def label_name(label: Any, feature: Any) -> str | None:
    """Return a label's name, or None for a missing label."""
    if label is None or (not isinstance(label, str) and label == IGNORE_INDEX):
        return None
    if isinstance(feature, datasets.ClassLabel):
        if label < 0:  # a missing label in `datasets`
            return None
        if label < feature.num_classes:
            return str(feature.names[label])
    return str(label)


def check_labels(labels: pa.Array, feature: Any) -> None:
    """Check that the values are strings, integers or booleans.

    Raises:
        RowError: If they have another type.
    """
    checks = (pt.is_string, pt.is_large_string, pt.is_integer, pt.is_boolean, pt.is_null)
    if not any(check(labels.type) for check in checks):
        raise RowError(
            0,
            f"a label is a string, an integer or a boolean, not {feature}; use Values for numbers to predict,"
            " MultiLabels for several labels at once",
        )


def require_labels(labels: pa.Array, feature: Any, lengths: Lengths) -> None:
    """Check that no label in lists of labels is missing.

    Args:
        labels: The elements of the lists.
        feature: Their `datasets` feature.
        lengths: The number of labels of each row.

    Raises:
        RowError: At the first null, and at the first id that `Labels` reads as a missing label.
    """
    require_values(labels, lengths)
    missing = map_distinct(labels, lambda label: label_name(label, feature) is None, np.bool_)
    for position in np.flatnonzero(missing)[:1]:
        row, where = locate(int(position), lengths)
        found = labels[int(position)].as_py()
        raise RowError(row, f"label {found}{where} is a missing label; take it out of the list, or drop the row")


def no_labels_error(column: str) -> ValueError:
    """Return the error for a column without labels."""
    return ValueError(f"column {column!r} contains no label to learn; give names=[...] or use another column")


def _no_lists_error(feature: Any) -> RowError:
    return RowError(0, f"MultiLabels reads lists of labels, not {feature}; use Labels for one label each")


def _learn_names(dataset: datasets.Dataset, column: str, depth: int, ignore: Collection[str] = ()) -> list[str]:
    """Return the names of the labels inside ``depth`` lists: those of a `ClassLabel`, or those found, sorted."""
    feature = dataset.features[column]
    for _ in range(depth):
        feature = feature.feature
    if isinstance(feature, datasets.ClassLabel):
        return [label for label in feature.names if label not in ignore]

    def distinct_labels(values: pa.Array) -> list[Any]:
        for _ in range(depth):
            values = flatten(values)[0]
        check_labels(values, feature)
        return list(pc.unique(values).to_pylist())

    found = {label for labels in iter_column(dataset, column, distinct_labels) for label in labels}
    named = [label_name(label, feature) for label in sorted(found - {None})]
    names = [name for name in named if name is not None and name not in ignore]
    if not names:
        raise no_labels_error(column)
    return names


def _class_ids(encoder: LabelEncoder, found: LabelValues) -> NDArray[np.int64]:
    """Return the class of each label, -100 for a missing one."""
    labels, feature, lengths = found
    names = encoder.fitted_names
    index: dict[str | None, int] = {name: number for number, name in enumerate([*names, *encoder.unseen])}
    index |= {None: IGNORE_INDEX} | dict.fromkeys(encoder.ignore or (), IGNORE_INDEX)

    def class_id(label: Any) -> int:
        name = label_name(label, feature)
        if name is None or name in index:
            return index[name]
        return index.get(name[:2] + UNSEEN, index.get(UNSEEN, _UNKNOWN))

    ids = map_distinct(labels, class_id, np.int64)
    for position in np.flatnonzero(ids == _UNKNOWN)[:1]:
        row, where = locate(int(position), lengths)
        label = label_name(labels[int(position)].as_py(), feature)
        known = f"{', '.join(names[:30])}{f' and {len(names) - 30} more' if len(names) > 30 else ''}"
        raise RowError(
            row,
            f"label {label!r}{where} is not one of the known labels: {known}; drop or correct it, or name all "
            f"labels: {type(encoder).__name__}(names=[...])",
        )
    return ids
