"""The data spec: the fitted encoders of a dataset's inputs and targets, as plain types."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import datasets

from seqkit.class_paths import allow, public_path
from seqkit.data.encoders.base import Encoder
from seqkit.data.encoders.characters import Characters
from seqkit.data.encoders.columns import check_text, leaf_feature, list_depth
from seqkit.data.encoders.label_sequences import LabelSequences
from seqkit.data.encoders.labels import LabelEncoder, Labels, MultiLabels
from seqkit.data.encoders.numbers import Features, Values
from seqkit.data.encoders.shapes import ShapedWords
from seqkit.data.encoders.spec_checks import encoder_class
from seqkit.data.encoders.tokenizer import TokenizerEncoder
from seqkit.data.encoders.words import Ids, Words
from seqkit.data.rows.checks import RowError, check_columns

Entry = dict[str, Any]
Spec = dict[str, dict[str, Entry]]


def learn_spec(
    train: datasets.Dataset,
    inputs: Mapping[str, Encoder | None],
    targets: Mapping[str, Encoder | None],
    unaligned: Collection[str] = (),
) -> Spec:
    """Fit every encoder on the training split and return the spec.

    Args:
        train: The training split.
        inputs: The encoder of each input, or None for the default encoder of the column's type. The first input is
            the main one.
        targets: The encoder of each target, or None for the default encoder.
        unaligned: Inputs whose sequences have lengths of their own. Those that have the same type and encoder as
            the main input share its fitted encoder, which learns from the rows of all of them.

    Returns:
        ``{"inputs": {name: entry}, "targets": {name: entry}}`` of str, int, float, bool, None, list and dict, so
        that it can be kept in a checkpoint or as JSON. An entry contains ``class_path`` and ``init_args`` of the
        fitted encoder, its ``kind`` and ``size``, and ``column`` if that differs from the name. An unaligned
        input's entry contains ``unaligned``, and each input's ``depth``; see `input_depth`. A target's entry
        contains ``per`` (``"token"``, ``"sequence"``, or ``"unaligned"`` for a length of its own) and, if it has
        classes, their ``names``.

    Raises:
        ValueError: If ``unaligned`` contains the main input or no input, or if a column is missing, has a type
            without a default encoder, or cannot be learned from; names the column.
    """
    main, *others = inputs or [""]
    for name in unaligned:
        if name not in others:
            raise ValueError(f"unaligned contains {name!r}; it may contain the inputs after the main one: {others}")
    input_sources = {name: (given and given.column) or name for name, given in inputs.items()}
    target_sources = {name: (given and given.column) or name for name, given in targets.items()}
    check_columns([*input_sources.values(), *target_sources.values()], train.column_names, "train")

    for given, sources in ((inputs, input_sources), (targets, target_sources)):
        for name, source in sources.items():
            if given[name] is None or isinstance(given[name], Words):
                check_text(train, source)

    spec: Spec = {"inputs": {}, "targets": {}}
    encoders = {
        name: given or _default_input_encoder(name, train.features[input_sources[name]])
        for name, given in inputs.items()
    }
    main_feature = train.features[input_sources[main]] if inputs else None
    sharing = [
        name
        for name in unaligned
        if train.features.get(name) == main_feature and _is_same_encoder(encoders[name], encoders[main])
    ]
    fitted: dict[str, Encoder] = {}
    for name, source in input_sources.items():
        _check_input(name, encoders[name], train.features[source])
        columns = [source, *(sharing if name == main else ())]
        fitted[name] = fitted[main] if name in sharing else _fit(train, encoders[name], columns)
        entry = spec["inputs"][name] = _entry(fitted[name], name, source)
        entry["depth"] = list_depth(train.features[source]) + _num_axes(train.features[source])
        if name in unaligned:
            entry["unaligned"] = True

    for name, source in target_sources.items():
        feature = train.features[source]
        encoder = _fit(train, targets[name] or _default_target_encoder(name, feature), [source])
        entry = spec["targets"][name] = _entry(encoder, name, source)
        entry["per"] = "token" if list_depth(feature) > encoder.value_depth else "sequence"
        if isinstance(encoder, LabelSequences):
            entry["per"] = "unaligned"
        if isinstance(encoder, LabelEncoder):
            entry["names"] = encoder.names
    return spec


def build_encoder(entry: Mapping[str, Any], trust: str | Iterable[str] = ()) -> Encoder:
    """Return the fitted encoder that an entry of a spec describes.

    Args:
        entry: The entry. ``unseen`` in it contains labels that training lacks; see `add_unseen`.
        trust: Names of modules whose encoders may be built, such as ``my_project``; needed for an encoder that is
            neither seqkit's nor one that this program has made itself.

    Raises:
        ValueError: The entry names no encoder, or one of another module.
    """
    encoder = _build_encoder(encoder_class(entry, trust, "the spec"), json.dumps(entry["init_args"]))
    if isinstance(encoder, LabelEncoder) and entry.get("unseen"):
        return encoder.with_unseen(entry["unseen"], counted="per" in entry)
    return encoder


def input_encoder(spec: Mapping[str, Any], name: str) -> Encoder:
    """Return the fitted encoder of an input."""
    return build_encoder(spec["inputs"][name])


def target_encoder(spec: Mapping[str, Any], name: str) -> Encoder:
    """Return the fitted encoder of a target, for example to decode predictions."""
    return build_encoder(spec["targets"][name])


def input_depth(spec: Mapping[str, Any], name: str) -> int:
    """Return how many lists enclose the values of one row of an input, before it is encoded.

    That is 0 for a text, 1 for a list of words or numbers, 2 for a series of vectors. A spec of an earlier version
    does not say it; :class:`Words` then read lists if a target is per token.
    """
    entry = spec["inputs"][name]
    if "depth" in entry:
        return int(entry["depth"])
    encoder = build_encoder(entry)
    if isinstance(encoder, Words):
        return int(any(target["per"] == "token" for target in spec["targets"].values()))
    if isinstance(encoder, TokenizerEncoder):
        return 0
    return 2 if entry["kind"] == "multilabel" or (entry["kind"] == "features" and entry["size"] > 1) else 1


def source_columns(entries: Mapping[str, Entry]) -> list[str]:
    """Return the dataset's columns that some entries of a spec read."""
    return list(dict.fromkeys(entry.get("column", name) for name, entry in entries.items()))


def is_vector(entry: Entry) -> bool:
    """Whether a target is one vector per sequence, not a number per sequence or a value per token."""
    feature = build_encoder(entry).item_feature
    return entry["per"] == "sequence" and not isinstance(feature, datasets.Value | datasets.ClassLabel)


def vocabulary(entry: Entry) -> list[str]:
    """Return the word of each id of an input.

    Raises:
        ValueError: If the ids are not those of words.
    """
    encoder = build_encoder(entry)
    if not isinstance(encoder, Words | ShapedWords):
        raise ValueError(f"the ids of {type(encoder).__name__} are not words; use Words or ShapedWords")
    words: list[str] = encoder.decode([range(encoder.size)])[0]
    return words


@lru_cache(maxsize=64)
def _build_encoder(cls: type[Encoder], init_args: str) -> Encoder:
    try:
        return cls(**json.loads(init_args))
    except TypeError as error:
        raise ValueError(
            f"the data spec's {cls.__name__} cannot be made: {error}; was it written by another version of seqkit? "
            f"Learn it again"
        ) from error


def _entry(encoder: Encoder, name: str, source: str) -> Entry:
    """Return the entry of a fitted encoder that reads the column ``source``."""
    allow(type(encoder))
    entry: Entry = {
        "class_path": public_path(type(encoder)),
        "init_args": encoder.init_args(),
        "kind": encoder.kind,
        "size": encoder.size,
    }
    if source != name:
        entry["column"] = source
    return entry


def _num_axes(feature: Any) -> int:
    """Return the number of axes of the arrays inside all lists; 0 if these hold single values."""
    leaf = leaf_feature(feature)
    return len(getattr(leaf, "shape", ()))


def _is_same_encoder(encoder: Encoder, main: Encoder) -> bool:
    """Whether an input that reads the column of its own name has the same encoder as the main input."""
    return encoder.column is None and type(encoder) is type(main) and encoder.init_args() == main.init_args()


def _fit(train: datasets.Dataset, encoder: Encoder, columns: Sequence[str]) -> Encoder:
    """Fit an encoder on the rows of one or several columns."""
    column, *others = columns
    rows = train
    if others:
        parts = [train.select_columns(other).rename_column(other, column) for other in others]
        rows = datasets.concatenate_datasets([train.select_columns(column), *parts])
    try:
        return encoder.fit(rows, column)
    except RowError as error:
        part, row = divmod(error.row, max(len(train), 1))
        raise error.replace(row=row, column=columns[part], split="train") from error


def _check_input(name: str, encoder: Encoder, feature: Any) -> None:
    """Check that an encoder gives inputs: labels are inputs as sets, one for each token."""
    if encoder.kind in ("class", "labels", "value"):
        raise ValueError(
            f"input {name!r}: {type(encoder).__name__} encodes targets; read it by Words, Ids, Features, or by "
            f"MultiLabels if each token has a set of labels"
        )
    if isinstance(encoder, MultiLabels) and list_depth(feature) < 2:
        raise ValueError(
            f"input {name!r} contains {feature}; MultiLabels as an input needs a list of labels for each token, "
            f"that is a list of lists for each row"
        )


def _value_type(feature: Any) -> str:
    """Return the type of the values inside all lists: label, string, float, int, bool, or "" for any other."""
    leaf = leaf_feature(feature)
    if isinstance(leaf, datasets.ClassLabel):
        return "label"
    if isinstance(leaf, datasets.Value):
        for name in ("string", "float", "int", "bool"):
            if name in leaf.dtype:
                return name
    return ""


def _default_input_encoder(name: str, feature: Any) -> Encoder:
    depth, values = list_depth(feature), _value_type(feature)
    if (depth, values) == (1, "string"):
        return Words()
    if (depth, values) == (0, "string"):
        return Characters()
    if depth == 1 and values in ("int", "label"):
        return Ids()
    if depth in (1, 2) and values == "float":
        return Features()
    raise _no_default_error("input", name, feature, "Words, Characters, TokenizerFile, Ids, Features")


def _default_target_encoder(name: str, feature: Any) -> Encoder:
    depth, values = list_depth(feature), _value_type(feature)
    if depth <= 1 and values in ("string", "label", "int", "bool"):
        return Labels()
    if depth <= 1 and values == "float":
        return Values()
    if depth == 2 and values in ("string", "label", "int"):
        return MultiLabels()
    raise _no_default_error("target", name, feature, "Labels, MultiLabels, Values")


def _no_default_error(group: str, name: str, feature: Any, choices: str) -> ValueError:
    return ValueError(
        f"{group} column {name!r} contains {feature}, which has no default encoder; name an encoder ({choices}) or"
        " another column"
    )
