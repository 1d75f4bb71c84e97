"""Parts given as Python objects, written as the plain configuration from which a checkpoint rebuilds them."""

from functools import partial
from typing import Any

from seqkit.class_paths import public_path

_PLAIN = (str, int, float, bool, type(None))


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
        return {"class_path": public_path(value)}
    if isinstance(value, partial):
        # jsonargparse, which builds a model from a checkpoint, hands in partials with the class as last argument.
        parsed = value.func.__module__.startswith("jsonargparse.")
        part, others = (value.args[-1], ()) if parsed else (value.func, value.args)
        if isinstance(part, type) and not others:
            arguments = {key: as_config(f"{name}.{key}", item) for key, item in value.keywords.items()}
            return as_config(name, part) | {"init_args": arguments}
    raise TypeError(
        f"{name}={value!r} cannot be kept in a checkpoint; give a class, or functools.partial(Class, option=value) "
        f"with keyword arguments of plain types"
    )
