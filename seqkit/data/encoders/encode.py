"""Encode datasets and tables as a spec says."""

import hashlib
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher

from seqkit.class_paths import allow
from seqkit.data.cache_files import rows_key
from seqkit.data.code_key import code_key
from seqkit.data.cut_spans import ignore_cut_spans
from seqkit.data.encoders.base import Encoder
from seqkit.data.encoders.spec import Entry, build_encoder, source_columns
from seqkit.data.rows.checks import RowError, check_columns


def encode_dataset(
    dataset: datasets.Dataset, spec: dict[str, Any], split: str, with_targets: bool = True
) -> datasets.Dataset:
    """Encode a split. The rows keep their order; the columns are the inputs and targets of the spec.

    The split is encoded by one ``map``, whose result `datasets` caches on disk if the dataset is on disk. The key
    of the cached result covers the rows, the spec and the code of the encoders; see `encoder_key`.

    Args:
        dataset: The split.
        spec: The result of `learn_spec`.
        split: The name of the split, for errors.
        with_targets: Whether to encode targets too. Prediction does not need them.

    Raises:
        ValueError: If a column is missing, a value cannot be encoded, or a target per token has another length than
            the main input; names split, row and column.
    """
    entries = _entries(spec, with_targets)
    sources = source_columns(entries)
    check_columns(sources, dataset.column_names, split)
    features = {}
    for column, entry in entries.items():
        feature = build_encoder(entry).item_feature
        features[column] = feature if entry.get("per") == "sequence" else datasets.List(feature)
    if not len(dataset):  # map() would call nothing and keep the old columns
        return datasets.Dataset.from_dict({column: [] for column in entries}, datasets.Features(features))
    chosen = dataset.select_columns(sources)
    try:
        encoded = chosen.with_format("arrow").map(
            _encode_rows,
            with_indices=True,
            batched=True,
            remove_columns=sources,
            features=datasets.Features(features),
            fn_kwargs={
                "entries": json.dumps(entries),
                "types": json.dumps(chosen.features.to_dict()),
                "key": [rows_key(chosen), *(encoder_key(build_encoder(entry)) for entry in entries.values())],
            },
            desc=f"encoding {split}",
        )
    except RowError as error:
        raise error.replace(split=split) from error
    return encoded.with_format(None)


def encode_table(
    table: pa.Table,
    first_row: int,
    *,
    spec: dict[str, Any],
    split: str,
    features: datasets.Features | None,
    with_targets: bool,
    classes: Collection[type[Encoder]] = (),
) -> pa.Table:
    """Encode some rows of a stream; see `encode_dataset`.

    Args:
        table: The rows.
        first_row: The number of the first row, for errors.
        spec: The result of `learn_spec`.
        split: The name of the split, for errors.
        features: The types of the columns; None to infer them from the table.
        with_targets: Whether to encode targets too.
        classes: Classes of encoders that a new process, such as a loader's worker, may use.
    """
    allow(*classes)
    encode = TableEncoder(spec, with_targets=with_targets)
    check_columns(encode.columns, table.column_names, split)
    try:
        return encode(table, features, first_row)
    except RowError as error:
        raise error.replace(split=split) from error


class TableEncoder:
    """Encode tables of rows as a spec says; see `encode_dataset`. The encoders are built once.

    Args:
        spec: The result of `learn_spec`.
        with_targets: Whether to encode targets too.

    Attributes:
        columns: The columns that are read.
    """

    def __init__(self, spec: dict[str, Any], *, with_targets: bool) -> None:
        self._entries = _entries(spec, with_targets)
        self._encoders = {column: build_encoder(entry) for column, entry in self._entries.items()}
        self.columns = source_columns(self._entries)

    def __call__(self, table: pa.Table, features: datasets.Features | None = None, first_row: int = 0) -> pa.Table:
        """Encode some rows.

        Args:
            table: The rows, with the columns that are read.
            features: The types of the columns; None to infer them from the table.
            first_row: The number of the first row, for errors.

        Raises:
            RowError: If a value cannot be encoded, or a target per token has another length than the main input.
        """
        known = features if features is not None else datasets.Features.from_arrow_schema(table.schema)
        rows = range(first_row, first_row + len(table))
        return _encode_columns(table, known, rows, self._entries, self._encoders)


def _entries(spec: dict[str, Any], with_targets: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = spec["inputs"] | (spec["targets"] if with_targets else {})
    return entries


def _encode_rows(
    table: pa.Table,
    rows: list[int],
    *,
    entries: str,
    types: str,
    key: Sequence[str] = (),  # noqa: ARG001
) -> pa.Table:
    """Encode a table.

    Args:
        table: Some rows.
        rows: Their numbers, for errors.
        entries: The entries of the spec, as JSON. `datasets` hashes the arguments to find a cached result; its hash
            of a dict depends on which objects in it are the same object.
        types: The columns' `datasets` features, as JSON.
        key: The keys of the rows and the encoders; `datasets` hashes only the names of functions and classes.
    """
    features = datasets.Features.from_dict(json.loads(types))
    parsed: dict[str, Entry] = json.loads(entries)
    encoders = {column: build_encoder(entry) for column, entry in parsed.items()}
    return _encode_columns(table, features, rows, parsed, encoders)


def _encode_columns(
    table: pa.Table,
    features: datasets.Features,
    rows: Sequence[int],
    entries: Mapping[str, Entry],
    encoders: Mapping[str, Encoder],
) -> pa.Table:
    """Encode the columns of a table whose rows have the numbers ``rows``."""
    columns: dict[str, pa.Array] = {}
    for column, entry in entries.items():
        source = entry.get("column", column)
        try:
            columns[column] = encoders[column].encode_array(table.column(source).combine_chunks(), features[source])
        except RowError as error:
            raise error.replace(row=rows[error.row], column=source) from error
    for column, entry in entries.items():
        if "cut" in entry:
            columns[column] = ignore_cut_spans(columns[column], entry["names"], entry["cut"])
    main, *others = entries
    lengths = pc.list_value_length(columns[main]).to_numpy()
    for column in others:
        if entries[column].get("per") != "token":
            continue
        own = pc.list_value_length(columns[column]).to_numpy()
        for row in np.flatnonzero(own != lengths)[:1]:
            raise RowError(
                rows[row],
                f"{lengths[row]} tokens in {main!r} but {own[row]} targets in {column!r}; a target per token needs"
                f" one for each{_vector_remedy(entries[column])}",
            )
    return pa.table(columns)


def _vector_remedy(target: Entry) -> str:
    """Say how a list of numbers is read as one target of the whole row."""
    return "; read a vector of the whole row by Values(vectors=True)" if target["kind"] == "value" else ""


def encoder_key(encoder: Encoder) -> str:
    """Return a hash of what decides an encoder's results: its arguments and its code.

    Of an encoder outside seqkit it also covers the state that its constructor makes of the arguments, and the
    content of the files that the arguments name. See `seqkit.data.code_key.code_key` for the code.

    Returns:
        The hash; a new one in each call if the code or the state has none.
    """
    cls = type(encoder)
    modules = {base.__module__ for base in cls.__mro__} - sys.stdlib_module_names
    arguments = encoder.init_args()
    state: list[str] = []
    if any(not module.startswith("seqkit.") for module in modules):
        files = [value for value in arguments.values() if isinstance(value, str) and os.path.isfile(value)]
        try:
            state = [Hasher.hash(vars(cls(**arguments))), *(Hasher.hash(Path(file).read_bytes()) for file in files)]
        except Exception:  # of a constructor, a reducer for pickle, or the file system
            return uuid4().hex
    key = repr((cls.__module__, cls.__qualname__, arguments, code_key(__name__, *sorted(modules)), state))
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest()
