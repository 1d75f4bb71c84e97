"""Labels that a split has and the training split lacks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from seqkit.data.encoders import UNSEEN, LabelEncoder, iter_column, label_name, locate
from seqkit.labels import detect_scheme


class UnseenLabel(NamedTuple):
    """A label that the training split lacks.

    Attributes:
        name: The label.
        occurrences: How often the split has it.
        row: The first row with it.
    """

    name: str
    occurrences: int
    row: int


def find_unseen(dataset: datasets.Dataset, encoder: LabelEncoder, column: str) -> list[UnseenLabel]:
    """Find the labels of a split that are not among an encoder's names, sorted by name.

    Args:
        dataset: The split.
        encoder: A fitted encoder.
        column: The column that it reads.

    Raises:
        RowError: If the column does not have the labels that the encoder reads.
    """
    feature = dataset.features[column]
    known = {None, *encoder.fitted_names, *(encoder.ignore or ())}

    def count(values: pa.Array) -> tuple[int, list[UnseenLabel]]:
        labels, leaf, lengths = encoder.read_labels(values, feature)
        counts = pc.value_counts(labels)
        unseen = []
        for label, number in zip(counts.field("values"), counts.field("counts").to_pylist(), strict=True):
            name = label_name(label.as_py(), leaf)
            if name not in known:
                row, _ = locate(pc.index(labels, label).as_py(), lengths)
                unseen.append(UnseenLabel(str(name), number, row))
        return len(values), unseen

    found: dict[str, UnseenLabel] = {}
    first = 0
    for rows, unseen in iter_column(dataset, column, count):
        for name, number, row in unseen:
            before = found.get(name, UnseenLabel(name, 0, first + row))
            found[name] = before._replace(occurrences=before.occurrences + number)
        first += rows
    return [found[name] for name in sorted(found)]


def unseen_of_streams(names: Sequence[str]) -> list[str]:
    """Return names for the labels of a stream that training lacks, each for any number of them.

    Args:
        names: The labels of the training split. If they are tags of a scheme, its other tags of each type of span
            and of an unseen type have names of their own, so that spans keep their boundaries.
    """
    scheme = detect_scheme(names)
    prefixes = () if scheme is None else "BIES" if scheme == "BIOES" else "BI"
    types = sorted({name[2:] for name in names if name[1:2] == "-"})
    tags = [f"{prefix}-{kind}" for kind in (*types, UNSEEN) for prefix in prefixes]
    return [UNSEEN, *(tag for tag in tags if tag not in names)]


def add_unseen(spec: dict[str, Any], unseen: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a data spec that encodes a split with labels that training lacks.

    Args:
        spec: The data spec.
        unseen: By input or target, these labels. Those of a target get the ids after the last class; those of an
            input are left out.
    """
    return {
        group: {name: entry | {"unseen": list(unseen.get(name, ()))} for name, entry in entries.items()}
        for group, entries in spec.items()
    }
