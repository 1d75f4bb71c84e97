"""Names of classes in checkpoints, configs and specs."""

import pkgutil
import sys
from importlib import import_module


def class_at(path: str) -> type:
    """Import a class by its path, such as ``seqkit.nn.LSTM``.

    Raises:
        ValueError: There is no class at this path.
    """
    try:
        found = pkgutil.resolve_name(path)
    except (AttributeError, ImportError) as error:
        raise ValueError(
            f"cannot import {path!r}: {error}; give the path of a class, such as seqkit.nn.LSTM"
        ) from error
    if not isinstance(found, type):
        raise ValueError(f"{path!r} is a {type(found).__name__}; give the path of a class, such as seqkit.nn.LSTM")
    return found


def public_path(cls: type) -> str:
    """Return the shortest path from which a class can be imported, such as ``seqkit.nn.LSTM``.

    Packages export their classes under a public name and define them in files that may move. A checkpoint holds the
    public name, so it outlives the move.

    Args:
        cls: A class, seqkit's or any other.

    Returns:
        The path with the fewest packages before the class's name: for ``torch.optim.adam.Adam`` it is
        ``torch.optim.Adam``. A class that no package exports keeps the path of its file.
    """
    name, parts = cls.__qualname__, cls.__module__.split(".")
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        # A parent package of an imported module is imported, except where __module__ was set by hand.
        module = sys.modules.get(package) or import_module(package)
        if getattr(module, name, None) is cls:
            return f"{package}.{name}"
    return f"{cls.__module__}.{name}"
