"""A hash of the source code that decides a result, for the keys of caches."""

import ast
import hashlib
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

_START = time.time()
_PYTHON = ".".join(map(str, sys.version_info[:3]))
_LIBRARIES = Path(np.__file__).parents[1]


def code_key(*modules: str) -> str:
    """Return a hash of the code of some modules and of what they import, such as ``seqkit.data.sources.conll``.

    It covers the files of the modules, the files of the modules that they import by a statement, and so on, and the
    versions of Python and of installed packages. The files of an installed package count only if one of the modules
    is in it. Code that is imported in another way, such as by ``import_module``, is not covered.

    Returns:
        The hash. If a module has no file, or a file was changed after this process started and so may not be the
        code that runs, there is no such hash: the result is new in each call, so that no cache has an entry for it.
    """
    code = _find_code(tuple("__main__" if name == "__mp_main__" else name for name in modules))  # spawned processes
    if not code.complete:
        return uuid4().hex
    digest = hashlib.blake2b(repr((_PYTHON, code.versions)).encode(), digest_size=16)
    for name, path in code.files:
        try:
            status = path.stat()
            content = _read(path)
        except OSError:
            return uuid4().hex
        if max(status.st_mtime, status.st_ctime) >= _START:
            return uuid4().hex
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


class _Code(NamedTuple):
    """What decides the results of some modules."""

    files: list[tuple[str, Path]]  # by module
    versions: list[tuple[str, str]]  # of installed packages; "" for a module that cannot be found
    complete: bool  # whether each of the modules has a file


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _find_code(modules: tuple[str, ...]) -> _Code:
    own = {_package(name) for name in modules}
    files: dict[str, Path] = {}
    versions: dict[str, str] = {}
    found, remaining = set(modules), list(modules)
    while remaining:
        name = remaining.pop()
        path = _file(name)
        if _package(name) not in own and (path is None or _is_installed(path)):
            versions[_package(name)] = _version(_package(name))
        elif path is None:
            versions[name] = ""
        else:
            files[name] = path
            imported = set(_imports(name, path)) - found
            found |= imported
            remaining += imported
    return _Code(sorted(files.items()), sorted(versions.items()), files.keys() >= set(modules))


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, without those of the standard library."""
    try:
        tree = ast.parse(_read(path)) if path.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):
        return
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    if name == "__main__":
        package = sys.modules[name].__package__ or ""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                first = len(parts) if alias.asname else 1  # `import a.b` binds a
                names += [".".join(parts[:count]) for count in range(first, len(parts) + 1)]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names += [_defining_module(base, alias.name) for alias in node.names]
        yield from (found for found in names if _package(found) not in sys.stdlib_module_names)


def _defining_module(base: str, name: str) -> str:
    """Return the module from which ``from base import name`` takes the code."""
    if _package(base) in sys.stdlib_module_names:
        return base
    if _spec(f"{base}.{name}") is not None:
        return f"{base}.{name}"
    # The packages of seqkit only export what their files define.
    defined = getattr(getattr(sys.modules.get(base), name, None), "__module__", None) or ""
    return defined if _package(base) == _package(defined) == "seqkit" else base


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing it or its packages."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded  # type: ignore[no-any-return]
    package = name.rpartition(".")[0]
    if not package:
        try:
            return find_spec(name)
        except (ImportError, ValueError):
            return None
    parent = _spec(package)
    if parent is None or parent.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, parent.submodule_search_locations)


def _file(name: str) -> Path | None:
    """Return the file of a module's code; None if there is none, as for what is typed into an interpreter."""
    if name == "__main__":
        path = getattr(sys.modules[name], "__file__", None)
        return None if path is None or hasattr(sys, "ps1") else Path(path)
    spec = _spec(name)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _is_installed(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"}.intersection(path.parts)) or path.is_relative_to(_LIBRARIES)


def _package(name: str) -> str:
    return name.partition(".")[0]


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ",".join(version(found) for found in packages_distributions().get(package, ()))
