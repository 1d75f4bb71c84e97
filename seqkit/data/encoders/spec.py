"""The spec: what the data decides, as one plain-typed object, and the encoding of datasets by it."""

import importlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher

from seqkit.class_paths import public_path
from seqkit.data.encoders.base import Encoder, RowError, is_list
from seqkit.data.encoders.label_sequences import LabelSequences
from seqkit.data.encoders.labels import Labels, MultiLabels
from seqkit.data.encoders.numbers import Features, Ids, Values
from seqkit.data.encoders.shapes import ShapedWords
from seqkit.data.encoders.text import Characters, Words

Spec = dict[str, dict[str, dict[str, Any]]]


def learn_spec(
    train: datasets.Dataset,
    inputs: Mapping[str, Encoder | None],
    targets: Mapping[str, Encoder | None],
    unaligned: Collection[str] = (),
) -> Spec:
    """Learn every encoder from the training split and write down what came of it.

    Args:
        train: The training split.
        inputs: By column, the encoder, or None for the one that suits the column's type. The first is the main
            input.
        targets: By column, likewise.
        unaligned: Inputs whose sequences have lengths of their own. One with the encoder of the main input shares
            what it learns, from the rows of both.

    Returns:
        ``{"inputs": {column: entry}, "targets": {column: entry}}``. An entry holds ``class_path`` and ``init_args``
        of the learned encoder, its ``kind`` and ``size``, and ``column`` if it reads another than that of its name;
        an input's also ``unaligned`` if it is; a target's also ``per`` (``"token"``, ``"sequence"``, or
        ``"unaligned"`` where its length is its own) and, if it has classes, their ``names``. Nothing but str, int,
        float, bool, None, list and dict, so that it
        can travel in a checkpoint or as JSON.

    Raises:
        ValueError: If ``unaligned`` names no input or the main one, if a column is missing, if its type has no
            default encoder, or if it cannot be learned from; names the column.
    """
    every = [*inputs.items(), *targets.items()]
    _check_columns(train, [(encoder.column if encoder else None) or column for column, encoder in every], "train")
    main, *others = inputs or [""]
    for column in unaligned:
        if column not in others:
            raise ValueError(f"unaligned names {column!r}; give one of the inputs after the main one: {others}")
    shared: dict[str, Encoder] = {}
    spec: Spec = {"inputs": {}, "targets": {}}
    for group, encoders, default in (("inputs", inputs, _input_encoder), ("targets", targets, _target_encoder)):
        for column, given in encoders.items():
            source = (given.column if given is not None else None) or column
            feature = train.features[source]
            encoder = given if given is not None else default(column, feature)
            if group == "inputs" and column == main:
                types = {other: train.features.get(other) for other in unaligned}
                alike = [other for other in types if _alike(encoder, feature, inputs[other], types[other])]
                shared = dict.fromkeys([main, *alike], _fitted(train, encoder, [source, *alike]))
            known = shared.get(column) if group == "inputs" else None
            learned = known if known is not None else _fitted(train, encoder, [source])
            entry = {
                "class_path": public_path(type(learned)),
                "init_args": learned.init_args(),
                "kind": learned.kind,
                "size": learned.size,
            }
            if source != column:
                entry["column"] = source
            if group == "inputs" and column in unaligned:
                entry["unaligned"] = True
            if group == "targets":
                entry["per"] = "token" if _depth(feature) > isinstance(learned, MultiLabels) else "sequence"
                if isinstance(learned, LabelSequences):
                    entry["per"] = "unaligned"
                if isinstance(learned, Labels | MultiLabels | LabelSequences):
                    entry["names"] = learned.names
            spec[group][column] = entry
    return spec


def _alike(encoder: Encoder, feature: Any, given: Encoder | None, other: Any) -> bool:
    """Whether another column of a type has the same encoder, and no column of its own to read."""
    if feature != other or (given is not None and given.column is not None):
        return False
    given = given if given is not None else _input_encoder("", other)
    return type(given) is type(encoder) and given.init_args() == encoder.init_args()


def _fitted(train: datasets.Dataset, encoder: Encoder, columns: Sequence[str]) -> Encoder:
    """Learn from a column, or from several as if their rows were of one."""
    name, *others = columns
    rows = train
    if others:
        parts = [train.select_columns(other).rename_column(other, name) for other in others]
        rows = datasets.concatenate_datasets([train.select_columns(name), *parts])
    try:
        return encoder.fit(rows, name)
    except RowError as error:
        part, row = divmod(error.row, max(len(train), 1))
        raise ValueError(f"train row {row}, column {columns[part]!r}: {error.message}") from error


def encode_dataset(
    dataset: datasets.Dataset, spec: dict[str, Any], split: str, with_targets: bool = True
) -> datasets.Dataset:
    """Encode a split: its rows in their order, its columns those of the spec.

    One ``map``, which `datasets` caches on disk if the dataset itself lies there.

    Args:
        dataset: The split.
        spec: What `learn_spec` returned.
        split: Its name, for errors.
        with_targets: Whether targets are encoded too; predicting needs none.

    Raises:
        ValueError: At a missing column, at a value that cannot be encoded, or where a target per token is not as
            long as the main input; names split, row and column.
    """
    entries = spec["inputs"] | (spec["targets"] if with_targets else {})
    sources = source_columns(entries)
    _check_columns(dataset, sources, split)
    features = {}
    for column, entry in entries.items():
        item = _built(json.dumps(entry)).item
        features[column] = item if entry.get("per") == "sequence" else datasets.List(item)
    if not len(dataset):  # nothing would be mapped, and the types stay as they were
        return datasets.Dataset.from_dict({column: [] for column in entries}, datasets.Features(features))
    chosen = dataset.select_columns(sources)
    encoded = chosen.with_format("arrow").map(
        _encode_batch,
        with_indices=True,
        batched=True,
        remove_columns=sources,
        features=datasets.Features(features),
        fn_kwargs={"entries": entries, "types": json.dumps(chosen.features.to_dict()), "split": split},
        new_fingerprint=Hasher.hash([chosen._fingerprint, entries, _code()]),
        desc=f"encoding {split}",
    )
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
    """Encode some rows of a stream, the first of which has a number; see `encode_dataset`.

    Args:
        table: The rows.
        first_row: Number of the first, for errors.
        spec: What `learn_spec` returned.
        split: For errors.
        features: The columns' types; None if only the table knows.
        with_targets: Whether targets are encoded too.
    """
    entries = spec["inputs"] | (spec["targets"] if with_targets else {})
    known = features if features is not None else datasets.Features.from_arrow_schema(table.schema)
    sources = source_columns(entries)
    for column in sources:
        if column not in table.column_names:
            raise ValueError(f"{split} has no column {column!r}; it has {', '.join(table.column_names)}")
    types = json.dumps(datasets.Features({column: known[column] for column in sources}).to_dict())
    rows = list(range(first_row, first_row + len(table)))
    return _encode_batch(table.select(sources), rows, entries=entries, types=types, split=split)


def source_columns(entries: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the dataset's columns that some entries of a spec read."""
    return list(dict.fromkeys(entry.get("column", name) for name, entry in entries.items()))


def is_vector(entry: dict[str, Any]) -> bool:
    """Whether a target of the spec is one vector a sequence, rather than a number or one entry a token."""
    item = _built(json.dumps(entry)).item
    return entry["per"] == "sequence" and not isinstance(item, datasets.Value | datasets.ClassLabel)


def input_encoder(spec: dict[str, Any], column: str) -> Encoder:
    """Return the learned encoder of an input, to encode and decode by hand."""
    return _built(json.dumps(spec["inputs"][column]))


def target_encoder(spec: dict[str, Any], column: str) -> Encoder:
    """Return the learned encoder of a target, to decode predictions."""
    return _built(json.dumps(spec["targets"][column]))


def vocabulary(entry: dict[str, Any]) -> list[str]:
    """Return the words of an input's ids, as its entry in the spec knows them.

    Raises:
        ValueError: Its ids are not those of words.
    """
    encoder = _built(json.dumps(entry))
    if not isinstance(encoder, Words | ShapedWords):
        raise ValueError(f"the ids of {type(encoder).__name__} stand for no words; use Words or ShapedWords")
    words: list[str] = encoder.decode([range(encoder.size)])[0]
    return words


def _encode_batch(
    table: pa.Table, rows: list[int], *, entries: dict[str, dict[str, Any]], types: str, split: str
) -> pa.Table:
    features = datasets.Features.from_dict(json.loads(types))
    columns: dict[str, pa.Array] = {}
    for column, entry in entries.items():
        encoder, source = _built(json.dumps(entry)), entry.get("column", column)
        try:
            columns[column] = encoder.encode_array(table.column(source).combine_chunks(), features[source])
        except RowError as error:
            raise ValueError(f"{split} row {rows[error.row]}, column {source!r}: {error.message}") from error
    main, *others = entries
    lengths = pc.list_value_length(columns[main]).to_numpy()
    for column in others:
        if entries[column].get("per") != "token":
            continue
        own = pc.list_value_length(columns[column]).to_numpy()
        if (own != lengths).any():
            row = int(np.flatnonzero(own != lengths)[0])
            raise ValueError(
                f"{split} row {rows[row]}: {lengths[row]} tokens in {main!r} but {own[row]} targets in {column!r};"
                " a target per token needs one for each"
            )
    return pa.table(columns)


@cache
def _code() -> str:
    """Return a hash of this package's code: what an older version encoded is not taken from the cache."""
    return str(Hasher.hash([file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]))


@lru_cache(maxsize=64)
def _built(entry: str) -> Encoder:
    """Build an encoder from its entry in the spec, as JSON."""
    content = json.loads(entry)
    module, _, name = content["class_path"].rpartition(".")
    built = getattr(importlib.import_module(module), name)(**content["init_args"])
    if not isinstance(built, Encoder):
        raise TypeError(f"{content['class_path']} is not a seqkit.data.encoders.Encoder")
    return built


def _check_columns(dataset: datasets.Dataset, columns: list[str], split: str) -> None:
    for column in columns:
        if column not in dataset.column_names:
            raise ValueError(f"{split} has no column {column!r}; it has {', '.join(dataset.column_names)}")


def _depth(feature: Any) -> int:
    return 1 + _depth(feature.feature) if is_list(feature) else 0


def _sort(feature: Any) -> str:
    """Return what a column holds, within its lists."""
    while is_list(feature):
        feature = feature.feature
    if isinstance(feature, datasets.ClassLabel):
        return "label"
    if isinstance(feature, datasets.Value):
        for sort in ("string", "float", "int", "bool"):
            if sort in feature.dtype:
                return sort
    return ""


def _input_encoder(column: str, feature: Any) -> Encoder:
    depth, sort = _depth(feature), _sort(feature)
    if (depth, sort) == (1, "string"):
        return Words()
    if (depth, sort) == (0, "string"):
        return Characters()
    if depth == 1 and sort in ("int", "label"):
        return Ids()
    if depth in (1, 2) and sort == "float":
        return Features()
    raise ValueError(
        f"input column {column!r} holds {feature}, for which there is no default encoder; name one (Words,"
        " Characters, TokenizerFile, Ids, Features) or another column"
    )


def _target_encoder(column: str, feature: Any) -> Encoder:
    depth, sort = _depth(feature), _sort(feature)
    if depth <= 1 and sort in ("string", "label", "int", "bool"):
        return Labels()
    if depth <= 1 and sort == "float":
        return Values()
    if depth == 2 and sort in ("string", "label", "int"):
        return MultiLabels()
    raise ValueError(
        f"target column {column!r} holds {feature}, for which there is no default encoder; name one (Labels,"
        " MultiLabels, Values) or another column"
    )
