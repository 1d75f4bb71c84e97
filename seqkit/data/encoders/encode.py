"""Encode datasets and tables as a spec says."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqkit.data.encoders.base import RowError
from seqkit.data.encoders.spec import Entry, build_encoder, source_columns
from seqkit.data.rows.checks import check_columns


def encode_dataset(
    dataset: datasets.Dataset, spec: dict[str, Any], split: str, with_targets: bool = True
) -> datasets.Dataset:
    """Encode a split. The rows keep their order; the columns are the inputs and targets of the spec.

    The split is encoded by one ``map``, whose result `datasets` caches on disk if the dataset is on disk.

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
            fn_kwargs={"entries": entries, "types": json.dumps(chosen.features.to_dict()), "code": _code_hash()},
            desc=f"encoding {split}",
        )
    except RowError as error:
        raise ValueError(f"{split} {error}") from error
    return encoded.with_format(None)


def encode_table(
    table: pa.Table,
    first_row: int,
    *,
    spec: dict[str, Any],
    split: str,
    features: datasets.Features | None,
    with_targets: bool,
) -> pa.Table:
    """Encode some rows of a stream; see `encode_dataset`.

    Args:
        table: The rows.
        first_row: The number of the first row, for errors.
        spec: The result of `learn_spec`.
        split: The name of the split, for errors.
        features: The types of the columns; None to infer them from the table.
        with_targets: Whether to encode targets too.
    """
    entries = _entries(spec, with_targets)
    sources = source_columns(entries)
    check_columns(sources, table.column_names, split)
    known = features if features is not None else datasets.Features.from_arrow_schema(table.schema)
    types = json.dumps(datasets.Features({column: known[column] for column in sources}).to_dict())
    rows = list(range(first_row, first_row + len(table)))
    try:
        return _encode_rows(table.select(sources), rows, entries=entries, types=types)
    except RowError as error:
        raise ValueError(f"{split} {error}") from error


def _entries(spec: dict[str, Any], with_targets: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = spec["inputs"] | (spec["targets"] if with_targets else {})
    return entries


def _encode_rows(
    table: pa.Table,
    rows: list[int],
    *,
    entries: dict[str, Entry],
    types: str,
    code: str = "",  # noqa: ARG001
) -> pa.Table:
    """Encode a table.

    Args:
        table: Some rows.
        rows: Their numbers, for errors.
        entries: The entries of the spec.
        types: The columns' `datasets` features, as JSON.
        code: A hash of the encoders' source code. `datasets` hashes all arguments to find a cached result, so that
            another version of the encoders encodes again.
    """
    features = datasets.Features.from_dict(json.loads(types))
    columns: dict[str, pa.Array] = {}
    for column, entry in entries.items():
        source = entry.get("column", column)
        try:
            columns[column] = build_encoder(entry).encode_array(
                table.column(source).combine_chunks(), features[source]
            )
        except RowError as error:
            raise RowError(rows[error.row], error.message, source) from error
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
                " one for each",
            )
    return pa.table(columns)


@cache
def _code_hash() -> str:
    code = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.blake2b(code, digest_size=8).hexdigest()
