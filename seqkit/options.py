"""Checks of options: each error names the option, its value and what is allowed."""

import math
from collections.abc import Iterable, KeysView, Sequence
from difflib import SequenceMatcher
from numbers import Integral, Real
from types import UnionType
from typing import Any

MAX_SEED = 2**63 - 1  # of torch's generators
_LIKE = 0.6  # from this ratio of equal letters on, one name may be a misspelling of another


def integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an option that is a whole number, of Python or numpy, as an int.

    Args:
        name: The option's name, for the error.
        value: Its value.
        least: The smallest allowed value.
        most: The largest allowed value; None for no limit.

    Raises:
        TypeError: The value is not an integer, or it is a boolean.
        ValueError: It is out of range.
    """
    allowed = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r}: must be {allowed}, not a {type(value).__name__}")
    found = int(value)
    if found < least or (most is not None and found > most):
        raise ValueError(f"{name}={value}: must be {allowed}")
    return found


def optional_integer(name: str, value: Any, least: int, most: int | None = None) -> int | None:
    """Return an option that is None or a whole number; see :func:`integer`."""
    return None if value is None else integer(name, value, least, most)


def number(name: str, value: Any, least: float, below: float = math.inf, *, most: float | None = None) -> float:
    """Return an option that is a number, of Python or numpy, as a float.

    Args:
        name: The option's name, for the error.
        value: Its value; NaN is never allowed.
        least: The smallest allowed value.
        below: The value must be smaller.
        most: The largest allowed value, instead of ``below``.

    Raises:
        TypeError: The value is not a number, or it is a boolean.
        ValueError: It is out of range or NaN.
    """
    limit = f" and below {below:g}" if below < math.inf else ""
    allowed = f"a number of at least {least:g}{limit}" if most is None else f"a number from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}: must be {allowed}, not a {type(value).__name__}")
    found = float(value)
    if not (least <= found and (found < below if most is None else found <= most)):  # also for NaN
        raise ValueError(f"{name}={value}: must be {allowed}")
    return found


def choice(name: str, value: Any, allowed: Sequence[str]) -> Any:
    """Return an option that is one of some names.

    Raises:
        TypeError: The value is not a string.
        ValueError: It is none of the names.
    """
    if not isinstance(value, str) or value not in allowed:
        known = ", ".join(map(repr, allowed))
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"{name}={value!r}: must be one of {known}{near(value, allowed)}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return an option that is True or False.

    Raises:
        TypeError: The value is not a boolean.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: must be True or False, not a {type(value).__name__}")
    return value


def instance(name: str, value: Any, kind: type | UnionType, *, optional: bool = True) -> Any:
    """Return an option that is an object of some class, or None if that is allowed.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, kind) and not (optional and value is None):
        known = kind.__name__ if isinstance(kind, type) else str(kind)
        allowed = f"{known} or None" if optional else known
        raise TypeError(f"{name}={value!r:.80}: must be {allowed}, not {type(value).__name__}")
    return value


def names(option: str, value: Any, *, least: int = 0) -> list[str]:
    """Return an option that is one name or several different ones, such as columns, as a list.

    Args:
        option: The option's name, for the error.
        value: A string, or a list or tuple of strings.
        least: The smallest allowed number of names.

    Raises:
        TypeError: The value is neither, or contains something else than strings.
        ValueError: A name occurs twice or is empty, or there are too few.
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, Sequence | KeysView) or not all(isinstance(each, str) for each in found):
        raise TypeError(f"{option}={value!r}: must be a name or a list of names")
    if len(found) < least:
        raise ValueError(f"{option}={value!r}: names no column; it needs at least {least}")
    for each in found:
        if not each or list(found).count(each) > 1:
            raise ValueError(f"{option}={value!r}: contains {each!r}{' twice' if each else ''}; name a column once")
    return list(found)


def near(name: Any, known: Iterable[str]) -> str:
    """Return a question about the known name that a misspelt one is most like: ``; did you mean 'form'?`` or ""."""
    found = nearest(name, known) if isinstance(name, str) else None
    return f"; did you mean {found!r}?" if found else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one abbreviates or is most like, the first of equals, or None."""
    known = list(known)
    for each in known:
        if name and each.startswith(name):
            return each
    likeness = [SequenceMatcher(None, each, name).ratio() for each in known]
    best = max(likeness, default=0.0)
    return known[likeness.index(best)] if best >= _LIKE else None
