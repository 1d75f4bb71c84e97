"""Undocumented parts of jsonargparse."""

import inspect
from functools import partial
from typing import Any


def parameter_types(cls: type) -> dict[str, Any]:
    """Return the annotations of a constructor's parameters by name, ``Any`` for those without.

    They are the parameters that the parser finds, so they include those of the constructor or function to which
    ``**options`` are passed on. Checked with jsonargparse 4.53.
    """
    # Not at the top: seqkit.optim, which uses the other function, works without jsonargparse.
    from jsonargparse._parameter_resolvers import get_signature_parameters

    found = get_signature_parameters(cls, logger=False)
    return {each.name: Any if each.annotation is inspect.Parameter.empty else each.annotation for each in found}


def partial_class(value: "partial[Any]") -> type | None:
    """Return the class that a partial made by the parser builds, or None for a partial made by hand.

    For an argument such as ``encoder: Callable[[int], nn.Module]`` the parser gives a partial of a function of its
    own, with the class as the last positional argument. A module that is rebuilt from a checkpoint gets such
    partials, and saves them again as plain types. Checked with jsonargparse 4.53.
    """
    made_by_parser = getattr(value.func, "__module__", "").partition(".")[0] == "jsonargparse"
    return value.args[-1] if made_by_parser and value.args and isinstance(value.args[-1], type) else None
