"""The constructor arguments of a task, as the plain configuration from which a checkpoint rebuilds it."""

import inspect
from functools import partial
from typing import Any, Unpack, get_origin

from seqkit.class_paths import allow, public_path
from seqkit.upstream.jsonargparse import partial_class

_PLAIN = (str, int, float, bool, type(None))


def given_arguments(instance: Any) -> dict[str, Any]:
    """Return the arguments of the constructor call that is building an object, defaults of its class included.

    Args:
        instance: The object; the caller is its constructor or is called by it.
    """
    arguments: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        found = inspect.getargvalues(frame)
        if frame.f_code.co_name == "__init__" and found.args and found.locals.get(found.args[0]) is instance:
            if found.varargs and found.locals[found.varargs]:
                raise TypeError(
                    f"{type(instance).__name__} takes *{found.varargs}, which a checkpoint cannot keep by name; "
                    f"spell the arguments out, or take **options"
                )
            # The last one found is the constructor of the class itself; those before are its bases'.
            arguments = {name: found.locals[name] for name in found.args[1:]}
            arguments |= found.locals[found.keywords] if found.keywords else {}
        frame = frame.f_back
    return arguments


def hide_typed_dicts(cls: type) -> None:
    """Remove annotations such as ``**options: Unpack[TaskOptions]`` from a class's constructor.

    They are for editors and type checkers. Without them, jsonargparse follows ``**options`` to the constructor that
    receives them and shows its defaults and descriptions, which a TypedDict does not have.
    """
    if "__init__" in vars(cls):
        hints = vars(cls)["__init__"].__annotations__
        for name in [name for name, hint in hints.items() if get_origin(hint) is Unpack]:
            del hints[name]


def as_config(name: str, value: Any) -> Any:
    """Write an argument as plain types.

    A class becomes ``{"class_path": ...}`` and a :func:`functools.partial` of a class with keyword arguments
    ``{"class_path": ..., "init_args": ...}``, the form that jsonargparse reads.

    Args:
        name: The argument's name, for the message.
        value: A plain value, a container of such, a class, or a partial of a class.

    Raises:
        TypeError: The value is something else, from which a checkpoint could not rebuild the part.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {key: as_config(f"{name}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_config(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, type):
        allow(value)
        return {"class_path": public_path(value)}
    if isinstance(value, partial):
        parsed = partial_class(value)
        part, others = (parsed, ()) if parsed else (value.func, value.args)
        if isinstance(part, type) and not others:
            arguments = {key: as_config(f"{name}.{key}", item) for key, item in value.keywords.items()}
            return as_config(name, part) | {"init_args": arguments}
    raise TypeError(
        f"{name}={value!r} cannot be kept in a checkpoint; give a class, or functools.partial(Class, option=value) "
        f"with keyword arguments of plain types"
    )
