"""Undocumented parts of jsonargparse."""

import inspect
import traceback
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


def union_errors(error: BaseException) -> list[BaseException]:
    """Return the errors of all types of a union that the parser tried, or [] if it raised the error elsewhere.

    The parser raises one error for them, whose cause is that of the first type only. Checked with jsonargparse
    4.53.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return list(frame.f_locals["exceptions"]) if frame.f_code.co_name == "raise_union_unexpected_value" else []
