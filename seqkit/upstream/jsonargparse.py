"""Undocumented parts of jsonargparse."""

from functools import partial
from typing import Any


def partial_class(value: "partial[Any]") -> type | None:
    """Return the class that a partial made by the parser builds, or None for a partial made by hand.

    For an argument such as ``encoder: Callable[[int], nn.Module]`` the parser gives a partial of a function of its
    own, with the class as the last positional argument. A module that is rebuilt from a checkpoint gets such
    partials, and saves them again as plain types. Checked with jsonargparse 4.53.
    """
    made_by_parser = getattr(value.func, "__module__", "").partition(".")[0] == "jsonargparse"
    return value.args[-1] if made_by_parser and value.args and isinstance(value.args[-1], type) else None
