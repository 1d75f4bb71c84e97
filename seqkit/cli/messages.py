"""What the command line says about wrong arguments and wrong input: one short message that names the remedy."""

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import NoReturn

from seqkit.class_paths import public_path
from seqkit.options import nearest

_PACKAGES = ("seqkit", "seqkit.nn", "seqkit.data", "seqkit.optim", "seqkit.losses", "seqkit.callbacks")
_ROOT = Path(__file__).parents[1]
_LONGEST = 300  # characters of a line; a value may be a whole config
_NOISE = re.compile(
    r"\s*(Subtypes: |Errors:$|Given value type: |Given value: (Namespace|NestedArg|\{)|- Expected a path but "
    r"|- Expected a <class 'NoneType'>|(- )?Does not validate against any of the Union subtypes$)"
)


def short_message(message: str, options: Iterable[str]) -> str:
    """Shorten a message of the parser, and add the remedy.

    Args:
        message: The message.
        options: The names of all options.
    """
    lines = dict.fromkeys(line for line in message.splitlines() if line.strip() and not _NOISE.match(line))
    short = "\n".join(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines)
    if "arguments are required" in message:
        return f"{short}; give a config by --config FILE or, for a trained model, a checkpoint by --ckpt_path FILE"
    near = None
    if unknown := re.search(r"unrecognized arguments: --([\w.]+)", message):
        near = _nearest_option(unknown[1], options)
        near = near and f"--{near}"
    elif unknown := re.search(r"[Oo]ption '([\w.]+)' is not accepted|accept option '([\w.]+)'", message):
        near = nearest(unknown[1] or unknown[2], {*options, *_argument_names()})
    elif unknown := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        module = importlib.import_module(unknown[1])
        near = nearest(unknown[2], getattr(module, "__all__", dir(module)))
    return short + (f"; did you mean {near}?" if near else "") + "\nSUBCOMMAND --help lists all options."


def _nearest_option(name: str, options: Iterable[str]) -> str | None:
    """Return the option that a misspelt one is most like; of a name with dots, perhaps the first part."""
    options = sorted(options)
    if found := nearest(name, options):
        return found
    first, _, rest = name.partition(".")
    known = nearest(first, {option.partition(".")[0] for option in options}) if rest else None
    return f"{known}.{rest}" if known else None


def _argument_names() -> set[str]:
    """Return the names of the arguments of all public classes."""
    names: set[str] = set()
    for package in map(importlib.import_module, _PACKAGES):
        for name in package.__all__:
            part = getattr(package, name)
            if isinstance(part, type):
                with suppress(ValueError):  # it has no signature
                    names.update(inspect.signature(part).parameters)
    return names


def message_of(error: BaseException) -> str | None:
    """Return the message for an error that the user's input explains, or None for a fault of a program.

    These are errors of the operating system, Lightning's errors about the configuration, and ValueError, TypeError
    or KeyError that seqkit itself raises, or the constructor of a class that the config names. The same errors
    raised elsewhere may be a fault.
    """
    # Not at the top: help and version are printed without Lightning.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if isinstance(error, OSError | MisconfigurationException):
        return f"{error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ValueError | TypeError | KeyError) and frames:
        last = frames[-1]
        if (last.line or "").startswith("raise "):
            if Path(last.filename).is_relative_to(_ROOT):
                return str(error.args[0]) if isinstance(error, KeyError) and error.args else f"{error}"
            if cls := _constructed_by_config(error):
                return f"{public_path(cls)}: {error}"
    return None


def _constructed_by_config(error: BaseException) -> type | None:
    """Return the class of a config whose constructor refused its arguments; None for an error of other origin."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = list(takewhile(lambda frame: frame.f_code.co_name == "__init__", reversed(frames)))
    caller = frames[len(frames) - len(own) - 1]
    if own and _is_of_parser(caller):
        return type(own[-1].f_locals["self"])
    return None


def unwrapped(error: BaseException) -> BaseException:
    """Return the error of a part of the config that the parser wrapped, with the rows that seqkit named in it."""
    while error.__cause__ is not None:
        *_, (last, _) = traceback.walk_tb(error.__traceback__)
        if not _is_of_parser(last):
            break
        error = error.__cause__
    return error


def _is_of_parser(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("jsonargparse.")


def exit_with_message(error: BaseException) -> NoReturn:
    """Exit with a message and status 1 if the user's input explains an error, and otherwise raise it again."""
    message = message_of(error)
    if message is None:
        raise error
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(1)
