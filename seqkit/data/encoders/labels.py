"""Labels to classes: one per token or sequence, or several."""

from collections.abc import Sequence
from typing import Any, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from seqkit.data.encoders.base import IGNORE_INDEX, Encoder, RowError, flat, is_list, place, ragged, read, require


class Labels(Encoder):
    """One class per token or per sequence, from `ClassLabel` ids, strings, whole numbers or truth values.

    A missing label (null, or a negative id) becomes -100, which losses and metrics leave out.

    Args:
        names: The classes, in the order of their ids; learned if None: those that a `ClassLabel` declares, else the
            training split's, sorted.
        ignore: Labels to treat as missing.
    """

    kind = "class"

    def __init__(self, names: list[str] | None = None, ignore: list[str] | None = None) -> None:
        self.names = names
        self.ignore = ignore

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(_known(self.names, "Labels"))

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"names": self.names, "ignore": self.ignore}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder that knows the column's labels."""
        if self.names is not None:
            return self
        feature = column.features[name]
        return type(self)(_learned_names(column, name, self.ignore, depth=int(is_list(feature))), self.ignore)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode labels, or lists of labels; see the base class."""
        lengths = None
        if is_list(feature):
            values, lengths = flat(values)
            feature = feature.feature
        ids = _ids(values, feature, _known(self.names, "Labels"), self.ignore, lengths)
        return pa.array(ids) if lengths is None else ragged(pa.array(ids), lengths)

    @property
    def item(self) -> Any:
        """The type of a class id."""
        return datasets.Value("int64")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the name for each id, or the names for each row of ids; None for -100."""
        names = _known(self.names, "Labels")

        def name(number: int) -> str | None:
            return None if number == IGNORE_INDEX else names[number]

        return [[name(int(n)) for n in row] if np.ndim(row) else name(int(row)) for row in values]


class MultiLabels(Encoder):
    """Any number of classes per token or per sequence, as a vector of zeros and ones, (C,) float32.

    Reads a list of labels for each sequence, or a list of such lists, one per token.

    Args:
        names: The classes; learned as in `Labels` if None.
    """

    kind = "multilabel"

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names

    @property
    def size(self) -> int:
        """C, the number of classes."""
        return len(_known(self.names, "MultiLabels"))

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"names": self.names}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder that knows the column's labels."""
        if self.names is not None:
            return self
        feature = column.features[name]
        depth = 2 if is_list(feature) and is_list(feature.feature) else 1
        return type(self)(_learned_names(column, name, None, depth))

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode lists of labels, or lists of lists; see the base class."""
        if not is_list(feature):
            raise RowError(0, f"MultiLabels reads lists of labels, not {feature}; use Labels for one label each")
        feature = feature.feature
        tokens = None
        if is_list(feature):
            feature = feature.feature
            values, tokens = flat(values)
        labels, counts = flat(values)
        rows = counts if tokens is None else _sums(counts, tokens)  # number of labels of each row
        require(labels, rows)
        ids = _ids(labels, feature, _known(self.names, "MultiLabels"), None, rows)
        hot = np.zeros((len(counts), self.size), dtype=np.float32)
        hot[np.repeat(np.arange(len(counts)), counts), ids] = 1.0
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(hot.ravel()), self.size)
        return vectors if tokens is None else ragged(vectors, tokens)

    @property
    def item(self) -> Any:
        """The type of a vector of C numbers."""
        return datasets.List(datasets.Value("float32"), length=self.size)

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the names whose number is above one half, for each vector or each row of vectors."""
        names = _known(self.names, "MultiLabels")

        def above(vector: Any) -> list[Any]:
            if np.ndim(vector) > 1 or not len(vector):
                return [above(inner) for inner in vector]
            return [name for name, value in zip(names, vector, strict=True) if value > 0.5]

        return [above(vector) for vector in values]


def _known(names: list[str] | None, encoder: str) -> list[str]:
    if names is None:
        raise ValueError(f"this {encoder} has no names yet; use what its fit() returns")
    return names


def _sums(counts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of ``counts`` over each of the consecutive pieces of these lengths."""
    sums: NDArray[np.int64] = np.diff(np.append(0, np.cumsum(counts))[np.append(0, np.cumsum(lengths))])
    return sums


def label_name(label: Any, feature: Any) -> str | None:
    """Return a label's name, None for a missing one."""
    if label is None or (not isinstance(label, str) and label == IGNORE_INDEX):
        return None
    if isinstance(feature, datasets.ClassLabel):
        if label < 0:  # how datasets writes a missing label
            return None
        if label < feature.num_classes:
            return str(feature.names[label])
    return str(label)


def _learned_names(column: datasets.Dataset, name: str, ignore: list[str] | None, depth: int) -> list[str]:
    feature = column.features[name]
    for _ in range(depth):
        feature = feature.feature
    if isinstance(feature, datasets.ClassLabel):
        return [label for label in feature.names if label not in (ignore or ())]

    def distinct(values: pa.Array) -> list[Any]:
        for _ in range(depth):
            values = flat(values)[0]
        check_labels(values, feature)
        return list(pc.unique(values).to_pylist())

    found = {label for labels in read(column, name, distinct) for label in labels}
    every = [label_name(label, feature) for label in sorted(found - {None})]
    names = [label for label in every if label is not None and label not in (ignore or ())]
    if not names:
        raise ValueError(f"column {name!r} holds no label, so there is nothing to learn")
    return names


def _ids(
    labels: pa.Array, feature: Any, names: list[str], ignore: list[str] | None, lengths: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the class of each label, -100 for a missing one."""
    check_labels(labels, feature)
    index: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    index |= {None: IGNORE_INDEX} | dict.fromkeys(ignore or (), IGNORE_INDEX)
    coded = pc.dictionary_encode(labels, null_encoding="encode")
    found = [label_name(label, feature) for label in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy()
    for number, label in enumerate(found):
        if label not in index:
            position = int(np.flatnonzero(codes == number)[0])
            row, token = (position, None) if lengths is None else place(position, lengths)
            where = "" if token is None else f" at position {token}"
            raise RowError(row, f"label {label!r}{where} is not one of the known labels: {_listed(names)}")
    ids: NDArray[np.int64] = np.array([index[label] for label in found], dtype=np.int64)[codes]
    return ids


def check_labels(labels: pa.Array, feature: Any) -> None:
    """Refuse what no label is.

    Raises:
        RowError: The values are neither strings nor whole numbers nor truth values.
    """
    checks = (pt.is_string, pt.is_large_string, pt.is_integer, pt.is_boolean, pt.is_null)
    if not any(check(labels.type) for check in checks):
        raise RowError(
            0,
            f"a label is a string, a whole number or a truth value, not {feature}; use Values for numbers to"
            " predict, MultiLabels for several labels at once",
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 30 else f"{', '.join(names[:30])} and {len(names) - 30} more"
