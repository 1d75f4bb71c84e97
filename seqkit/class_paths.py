"""Names of classes in checkpoints, configs and specs."""

import pkgutil
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

LIBRARIES = ("seqkit", "torch.nn", "torch.optim", "torchmetrics")
"""The packages whose classes a checkpoint, a spec or a config of others may name without consent."""

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")

# By path, the classes that this process may use: the program has them as objects, or the user has consented.
_allowed: WeakValueDictionary[str, type] = WeakValueDictionary()


def class_at(path: str) -> type:
    """Import a class by its path, such as ``seqkit.nn.LSTM``. Importing runs code: see :func:`resolve_class`.

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


def allow(*classes: type) -> None:
    """Let :func:`resolve_class` find classes that this program has as objects, not by a name in a file."""
    for cls in classes:
        _allowed[public_path(cls)] = _allowed[f"{cls.__module__}.{cls.__qualname__}"] = cls


def resolve_class(
    path: Any, base: type | tuple[type, ...], *, trust: str | Iterable[str] = (), place: str
) -> type[Any]:
    """Return the class that a file of unknown origin names, if it is one that may be used there.

    The module is imported only if it belongs to :data:`LIBRARIES` or to a trusted module, and the class is never
    called here. It must be defined in one of these, and not only be imported by one. Classes of :func:`allow` need
    no trust; those that are found by trust are added to them, so they need none again in this process.

    Args:
        path: What the file says.
        base: The class, or one of the classes, of which it must be a subclass.
        trust: Names of modules, such as ``my_project``, whose classes may be used; their submodules are included.
        place: Where the path stands, for errors.

    Raises:
        ValueError: The path leads to no class, to one that is no subclass of ``base``, or into another module.
    """
    if not isinstance(path, str) or not path:
        raise ValueError(f"{place}: class_path is {path!r}; it must be the path of a class")
    modules = trusted_modules(trust)
    cls = _allowed.get(path)
    if cls is None:
        in_library = _is_within(path, LIBRARIES) and "._" not in path
        if not _PATH.fullmatch(path) or not (in_library or _is_within(path, modules)):
            raise ValueError(_refusal(place, path, path.partition(".")[0]))
        try:
            cls = class_at(path)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if not _is_within(f"{cls.__module__}.{cls.__qualname__}", (*LIBRARIES, *modules)):
            raise ValueError(_refusal(place, path, cls.__module__))
    if not issubclass(cls, base):
        bases = base if isinstance(base, tuple) else (base,)
        names = " or ".join(public_path(each) for each in bases)
        raise ValueError(f"{place}: {path!r} is not a subclass of {names}, which is expected there")
    if modules:
        allow(cls)
    return cls


def trusted_modules(trust: str | Iterable[str]) -> list[str]:
    """Return names of modules as a list.

    Raises:
        ValueError: One is not the name of a module.
    """
    modules = [trust] if isinstance(trust, str) else list(trust)
    for name in modules:
        if not isinstance(name, str) or not _PATH.fullmatch(f"{name}.Class"):
            raise ValueError(f"trust contains {name!r}; give names of modules, such as my_project")
    return modules


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


def _is_within(path: str, modules: Iterable[str]) -> bool:
    return any(path.startswith(f"{module}.") for module in modules)


def _refusal(place: str, path: str, module: str) -> str:
    libraries = f"{', '.join(LIBRARIES[:-1])} and {LIBRARIES[-1]}"
    return (
        f"{place} names {path!r}. Only classes of {libraries} are used without consent, because code of others "
        f"could do anything. If you trust this file, consent to the module by name: trust=[{module!r}], or "
        f"--trust {module} on the command line"
    )
