"""Checks of a data spec that was learned elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from seqkit.class_paths import resolve_class
from seqkit.data.encoders.base import Encoder, Kind

_KEYS = {"class_path": str, "init_args": dict, "kind": str, "size": int}
_PER = ("token", "sequence", "unaligned")
_REMEDY = "give `data.spec` of the data module that learned it, or the spec in a checkpoint"


def check_spec(spec: Any) -> None:
    """Check that a data spec has the form of the result of `learn_spec`, and an input.

    Raises:
        TypeError: It is not a dict of dicts of dicts.
        ValueError: A key is missing, or a value is not what belongs there; names the column and the key.
    """
    if not isinstance(spec, Mapping):
        raise TypeError(f"spec is a {type(spec).__name__}, not a dict; {_REMEDY}")
    for group in ("inputs", "targets"):
        if group not in spec:
            raise ValueError(f"spec has no {group!r}, only {sorted(map(str, spec))}; {_REMEDY}")
    if len(spec) > 2:
        raise ValueError(f"spec has the keys {sorted(map(str, spec))}, not only inputs and targets; {_REMEDY}")
    for group in ("inputs", "targets"):
        entries = spec[group]
        if not isinstance(entries, Mapping):
            raise TypeError(f"spec[{group!r}] is a {type(entries).__name__}, not a dict; {_REMEDY}")
        for name, entry in entries.items():
            _check_entry(f"spec[{group!r}][{name!r}]", entry, has_per=group == "targets")
    if not spec["inputs"]:
        raise ValueError(f"spec['inputs'] is empty: there is no column to read; {_REMEDY}")


def _check_entry(place: str, entry: Any, *, has_per: bool) -> None:
    if not isinstance(entry, Mapping):
        raise TypeError(f"{place} is a {type(entry).__name__}, not a dict; {_REMEDY}")
    for key, kind in (_KEYS | {"per": str} if has_per else _KEYS).items():
        if key not in entry:
            raise ValueError(f"{place} has no {key!r}; was it written by another version of seqkit? Learn it again")
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            raise TypeError(f"{place}[{key!r}] is {entry[key]!r:.80}, not a {kind.__name__}; {_REMEDY}")
    for key, known in (("kind", get_args(Kind)), ("per", _PER)):
        if key in entry and entry[key] not in known:
            raise ValueError(
                f"{place}[{key!r}] is {entry[key]!r}, not one of {', '.join(known)}; was it written by another "
                f"version of seqkit? Learn it again"
            )
    if entry["size"] < 1:
        raise ValueError(f"{place}['size'] is {entry['size']}; it must be at least 1: {_REMEDY}")


def encoder_classes(spec: Any, trust: str | Iterable[str] = ()) -> list[type[Encoder]]:
    """Check a data spec of unknown origin, and return the classes of its encoders.

    Args:
        spec: The spec.
        trust: Names of modules whose encoders it may name; see :func:`~seqkit.class_paths.resolve_class`.

    Raises:
        TypeError: As :func:`check_spec`.
        ValueError: As :func:`check_spec`, or an entry names no encoder, or one of a module that is not trusted.
    """
    check_spec(spec)
    entries = {f"{group}.{name}": entry for group in ("inputs", "targets") for name, entry in spec[group].items()}
    return [encoder_class(entry, trust, f"spec.{name}") for name, entry in entries.items()]


def encoder_class(entry: Mapping[str, Any], trust: str | Iterable[str], place: str) -> type[Encoder]:
    """Return the class of the encoder that an entry of a spec describes.

    Raises:
        ValueError: The entry names no encoder, or one of a module that is not trusted.
    """
    if _names_class({key: value for key, value in entry.items() if key != "class_path"}):
        raise ValueError(f"{place} names a class besides its class_path; all else in it is of plain types")
    return resolve_class(entry["class_path"], Encoder, trust=trust, place=place)


def _names_class(value: Any) -> bool:
    """Whether a value contains what a parser could read as a class."""
    if isinstance(value, Mapping):
        return "class_path" in value or any(map(_names_class, value.values()))
    return isinstance(value, list | tuple) and any(map(_names_class, value))
