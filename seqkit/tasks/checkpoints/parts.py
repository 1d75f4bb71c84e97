"""The parts that a checkpoint names: checked against what their places expect, and built."""

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Protocol,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import torch
import yaml

from seqkit.class_paths import public_path, resolve_class
from seqkit.upstream.jsonargparse import parameter_types

_PLAIN = (str, int, float, bool, complex, bytes, type(None), Path)
_TORCH_VALUES = (torch.device, torch.dtype)  # classes without subclasses
_PART_KEYS = {"class_path", "init_args", "dict_kwargs"}

Make = Callable[[type, dict[str, Any], bool], Any]
"""Takes a part's class, its arguments, and whether its place expects an object, not a callable that builds it."""


def check_arguments(
    cls: type, arguments: Mapping[str, Any], *, trust: str | Iterable[str], place: str
) -> dict[str, Any]:
    """Check the arguments of a constructor, which a file of unknown origin gives as plain types.

    A part is ``{"class_path": ..., "init_args": ...}``, and may contain further parts. Nothing is called, and only
    the modules that :func:`seqkit.class_paths.resolve_class` allows are imported.

    Args:
        cls: The class whose constructor takes the arguments.
        arguments: The arguments.
        trust: Names of modules whose classes may be used.
        place: Where the arguments stand, for errors.

    Returns:
        The arguments, with public paths. The parser of the command line finds no other class in them.

    Raises:
        ValueError: A part is not what its place expects, or an argument is unknown.
    """
    return _read_arguments(cls, arguments, place, trust, _as_config)


def build_arguments(
    cls: type, arguments: Mapping[str, Any], *, trust: str | Iterable[str], place: str
) -> dict[str, Any]:
    """Check the arguments of a constructor as :func:`check_arguments` does, then build the parts among them.

    Returns:
        The arguments: a part is a :func:`functools.partial` where a callable is expected, and an object otherwise.
    """
    check_arguments(cls, arguments, trust=trust, place=place)
    return _read_arguments(cls, arguments, place, trust, _build)


def _as_config(cls: type, arguments: dict[str, Any], is_object: bool) -> Any:  # noqa: ARG001
    return {"class_path": public_path(cls), "init_args": arguments}


def _build(cls: type, arguments: dict[str, Any], is_object: bool) -> Any:
    return cls(**arguments) if is_object else functools.partial(cls, **arguments)


def _read_arguments(
    cls: type, arguments: Any, place: str, trust: str | Iterable[str], make: Make
) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{place} is {arguments!r}; it must contain the arguments of {cls.__name__} by name")
    annotations = parameter_types(cls)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in inspect.signature(cls).parameters.values())
    read = {}
    for name, value in arguments.items():
        if not isinstance(name, str) or not (name in annotations or (takes_any and name.isidentifier())):
            raise ValueError(f"{place}: {cls.__name__} has no argument {name!r}")
        read[name] = _read(value, annotations.get(name, Any), f"{place}.{name}", trust, make)
    return read


def _read(value: Any, annotation: Any, place: str, trust: str | Iterable[str], make: Make) -> Any:
    members = _members(annotation)
    if isinstance(value, str):
        _check_text(value, members, place)
    elif isinstance(value, Mapping) and "class_path" in value:
        return _read_part(value, members, place, trust, make)
    elif isinstance(value, Mapping):
        return _read_mapping(value, members, place, trust, make)
    elif isinstance(value, list | tuple):
        kinds = [each for each in members if _is_container(each) and not _is_mapping(each)]
        if not kinds and Any not in members:
            raise ValueError(f"{place} is a list, which is not expected there")
        items = _union([item for each in kinds for item in get_args(each) if item is not ...])
        read = [_read(item, items, f"{place}[{i}]", trust, make) for i, item in enumerate(value)]
        is_tuple = bool(kinds) and all((get_origin(each) or each) is tuple for each in kinds)
        return tuple(read) if is_tuple and make is _build else read
    return value


def _read_part(
    value: Mapping[str, Any], members: list[Any], place: str, trust: str | Iterable[str], make: Make
) -> Any:
    expected = [each for member in members for each in _expected_classes(member)]
    if not expected:
        raise ValueError(f"{place} names the class {value['class_path']!r}, but no class is expected there")
    if unknown := set(value) - _PART_KEYS:
        raise ValueError(f"{place} contains {sorted(map(str, unknown))} next to class_path; use init_args")
    cls = resolve_class(value["class_path"], tuple(base for base, _ in expected), trust=trust, place=place)
    given = {**(value.get("init_args") or {}), **(value.get("dict_kwargs") or {})}
    is_object = next(is_object for base, is_object in expected if issubclass(cls, base))
    return make(cls, _read_arguments(cls, given, place, trust, make), is_object)


def _read_mapping(
    value: Mapping[str, Any], members: list[Any], place: str, trust: str | Iterable[str], make: Make
) -> Any:
    """Read a mapping that is not a part: values by name, or the arguments of the one class that is expected."""
    items = [get_args(each)[1:] or (Any,) for each in members if _is_mapping(each)]
    bases = [base for each in members for base, is_object in _expected_classes(each) if is_object]
    if len(bases) == 1 and not items:
        arguments = _read_arguments(bases[0], value, place, trust, make)
        return bases[0](**arguments) if make is _build else arguments
    if not items and Any not in members:
        raise ValueError(f"{place} has the keys {list(value)} but no class_path; a part needs one")
    item = _union([each for args in items for each in args])
    return {key: _read(each, item, f"{place}.{key}", trust, make) for key, each in value.items()}


def _check_text(value: str, members: list[Any], place: str) -> None:
    """Refuse a text that the parser of the command line could read as a class, a file or a config."""
    if all(map(_is_plain, members)) or any(
        get_origin(each) is Literal and value in get_args(each) for each in members
    ):
        return
    try:
        harmless = not isinstance(yaml.safe_load(value), dict | list)
    except yaml.YAMLError:
        harmless = False
    if any(each is not Any and not _is_plain(each) for each in members) or Any not in members:
        # A union's members are tried in their order.
        before = members[: members.index(str)] if str in members else members
        harmless &= str in members and all(_is_plain(each) or each in _TORCH_VALUES for each in before)
        harmless &= "." not in value and not os.path.exists(value)
    if not harmless:
        raise ValueError(f"{place} is {value!r}; a checkpoint names a part by class_path and init_args")


def _union(annotations: list[Any]) -> Any:
    """Return the union of annotations; Any if there are none."""
    return functools.reduce(operator.or_, annotations) if annotations else Any


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _members(each)]
    if get_origin(annotation) in (Annotated, Required, NotRequired):
        return _members(get_args(annotation)[0])
    return [annotation]


def _is_container(member: Any) -> bool:
    kind = get_origin(member) or member
    names = ("builtins", "collections", "collections.abc")
    is_collection = isinstance(kind, type) and kind.__module__ in names and issubclass(kind, Iterable)
    return is_collection and kind not in (str, bytes)


def _is_mapping(member: Any) -> bool:
    return _is_container(member) and issubclass(get_origin(member) or member, Mapping)


def _is_plain(member: Any) -> bool:
    """Whether a value of this type cannot contain a class."""
    if _is_container(member):
        items = [each for item in get_args(member) if item is not ... for each in _members(item)]
        return bool(items) and all(map(_is_plain, items))
    return (
        member in _PLAIN or get_origin(member) is Literal or (isinstance(member, type) and issubclass(member, Enum))
    )


def _expected_classes(member: Any) -> list[tuple[type, bool]]:
    """Return the classes that a place expects, each with whether it expects an object, not a callable."""
    kind = get_origin(member) or member
    if kind is Callable:
        results = _members(get_args(member)[-1]) if get_args(member) else []
        return [(base, False) for result in results for base, is_object in _expected_classes(result) if is_object]
    if not isinstance(kind, type) or kind in (Any, object, type) or _is_container(member) or _is_plain(member):
        return []
    if Protocol in kind.__bases__:
        if "__call__" in vars(kind):
            return [(base, False) for base, _ in _expected_classes(get_type_hints(kind.__call__).get("return"))]
        return []
    return [(kind, True)]
