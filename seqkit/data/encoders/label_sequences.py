"""Labels in a sequence whose length is its own, as CTC learns them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqkit.data.encoders.base import Encoder, RowError, flat, is_list, ragged, read, require
from seqkit.data.encoders.labels import check_labels, label_name
from seqkit.data.encoders.text import is_text
from seqkit.labels import END, UNKNOWN


class LabelSequences(Encoder):
    """Label sequences of another length than the input: the phones of a word, the text of an utterance.

    Reads a column of strings, whose characters are the labels; of lists of labels (strings, `ClassLabel` ids or
    whole numbers); or of lists of such lists, several *references* for a row, any of which is right. -1 closes each
    of them, and a label that training did not have becomes -2; see :mod:`seqkit.labels`.

    Args:
        names: The labels, in the order of their ids; learned if None: those that a `ClassLabel` declares, else the
            training split's, sorted.
        characters: A list of strings holds several references whose labels are characters.
    """

    kind = "labels"

    def __init__(self, names: list[str] | None = None, characters: bool = False) -> None:
        self.names = names
        self.characters = characters

    @property
    def size(self) -> int:
        """Number of labels."""
        return len(self._known())

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, with what was learned."""
        return {"names": self.names, "characters": self.characters}

    def fit(self, column: datasets.Dataset, name: str) -> Self:
        """Return an encoder that knows the column's labels."""
        if self.names is not None:
            return self
        feature = column.features[name]
        leaf = feature
        while is_list(leaf):
            leaf = leaf.feature
        if isinstance(leaf, datasets.ClassLabel):
            return type(self)(list(leaf.names), self.characters)

        def distinct(values: pa.Array) -> list[Any]:
            return list(pc.unique(self._references(values, feature).labels).to_pylist())

        found = {label for labels in read(column, name, distinct) for label in labels}
        names = [str(label_name(label, leaf)) for label in sorted(found)]
        if not names:
            raise ValueError(f"column {name!r} holds no label, so there is nothing to learn")
        return type(self)(names, self.characters)

    def encode_array(self, values: pa.Array, feature: Any) -> pa.Array:
        """Encode strings, lists of labels or lists of lists of labels; see the base class."""
        labels, leaf, lengths, counts = self._references(values, feature)
        index = {name: number for number, name in enumerate(self._known())}
        coded = pc.dictionary_encode(labels)
        known = [index.get(str(label_name(label, leaf)), UNKNOWN) for label in coded.dictionary.to_pylist()]
        ids = np.full(len(labels) + len(lengths), END, dtype=np.int64)
        inside = np.ones(len(ids), dtype=bool)
        inside[(lengths + 1).cumsum() - 1] = False
        ids[inside] = np.array(known, dtype=np.int64)[coded.indices.to_numpy()]
        return ragged(pa.array(ids), _sums(lengths + 1, counts))

    @property
    def item(self) -> Any:
        """The type of a label's id."""
        return datasets.Value("int64")

    def decode(self, values: Sequence[Any]) -> list[Any]:
        """Return the references of each row of ids, each a list of names; None for an unknown label."""
        names = self._known()
        rows = []
        for row in values:
            references: list[list[str | None]] = []
            held: list[str | None] = []
            for number in map(int, row):
                if number == END:
                    references.append(held)
                    held = []
                else:
                    held.append(None if number == UNKNOWN else names[number])
            rows.append(references)
        return rows

    def _known(self) -> list[str]:
        if self.names is None:
            raise ValueError("this LabelSequences has no names yet; use what its fit() returns")
        return self.names

    def _references(self, values: pa.Array, feature: Any) -> "_References":
        counts = np.ones(len(values), dtype=np.int64)
        if is_list(feature) and (self.characters or is_list(feature.feature)):
            values, counts = flat(values)
            require(values, counts)
            feature = feature.feature
            for row in np.flatnonzero(counts == 0)[:1]:
                raise RowError(int(row), "there is no reference; give one (it may be empty), or drop the row")
        if is_text(values):
            require(values)
            values = pa.array([list(text) for text in values.to_pylist()], pa.list_(pa.string()))
        elif is_list(feature) and not is_list(feature.feature):
            feature = feature.feature
        else:
            raise RowError(0, f"LabelSequences reads strings, lists of labels or lists of these, not {feature}")
        labels, lengths = flat(values)
        require(labels, _sums(lengths, counts))
        check_labels(labels, feature)
        return _References(labels, feature, lengths, counts)


def _sums(lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of so many lengths, one after the other."""
    sums: NDArray[np.int64] = np.diff(np.append(0, lengths.cumsum())[np.append(0, counts.cumsum())])
    return sums


class _References(NamedTuple):
    """The labels of all references one after the other, their type, their lengths and how many each row has."""

    labels: pa.Array
    leaf: Any
    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]
