"""What the command line says about wrong arguments and wrong input: one short message that names the remedy."""

import sys
import traceback
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import NoReturn

from seqkit.class_paths import LIBRARIES, public_path
from seqkit.upstream.jsonargparse import union_errors

_ROOT = Path(__file__).parents[1]


def message_of(error: BaseException) -> str | None:
    """Return the message for an error that the user's input explains, or None for a fault of a program.

    These are errors of the operating system, Lightning's errors about the configuration, and ValueError, TypeError,
    KeyError or ImportError that seqkit itself raises, or the constructor of a class that the config names. The same
    errors raised elsewhere may be a fault.
    """
    # Not at the top: help and version are printed without Lightning.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if isinstance(error, OSError | MisconfigurationException):
        return f"{error}"
    if isinstance(error, ValueError | TypeError) and _refused_by_trainer(error):
        return f"{error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ValueError | TypeError | KeyError | ImportError) and frames:
        last = frames[-1]
        if (last.line or "").startswith("raise "):
            if Path(last.filename).is_relative_to(_ROOT):
                return str(error.args[0]) if isinstance(error, KeyError) and error.args else f"{error}"
            if cls := _constructed_by_config(error):
                name = public_path(cls)
                known = name.startswith(tuple(f"{library}." for library in LIBRARIES))
                return f"{name}: {error}" + ("" if known else f" ({last.filename}, line {last.lineno})")
    return None


def _refused_by_trainer(error: BaseException) -> bool:
    """Return whether Lightning raised an error about an argument of the Trainer."""
    from lightning.pytorch import Trainer

    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    source = traceback.extract_tb(error.__traceback__)[-1:]
    return (
        any(
            frame.f_code.co_name == "__init__" and isinstance(frame.f_locals.get("self"), Trainer)
            for frame in frames
        )
        and str(frames[-1].f_globals.get("__name__")).startswith("lightning.")
        and (source[0].line or "").startswith("raise ")
    )


def _constructed_by_config(error: BaseException) -> type | None:
    """Return the class of a config whose constructor refused its arguments; None for an error of other origin."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = list(takewhile(lambda frame: frame.f_code.co_name == "__init__", reversed(frames)))
    caller = frames[len(frames) - len(own) - 1]
    if own and _is_of_parser(caller):
        return type(own[-1].f_locals["self"])
    return None


def unwrapped(error: BaseException) -> BaseException:
    """Return the error of a part of the config that the parser wrapped, with the rows that seqkit named in it.

    Of an argument that may be of several types, such as a name or a part, it is the first error of a part.
    """
    if not _raised_by_parser(error):
        return error
    wrapped = union_errors(error) or [each for each in (error.__cause__,) if each]
    found = [unwrapped(each) for each in wrapped]
    return next((each for each in found if not _raised_by_parser(each)), found[0] if found else error)


def _raised_by_parser(error: BaseException) -> bool:
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    return _is_of_parser(last)


def _is_of_parser(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("jsonargparse.")


def exit_with_message(error: BaseException) -> NoReturn:
    """Exit with a message and status 1 if the user's input explains an error, and otherwise raise it again."""
    message = message_of(error)
    if message is None:
        raise error
    sys.stderr.write(f"error: {printable(message)}\n")
    raise SystemExit(1)


def printable(text: str) -> str:
    """Escape control characters: those of a name in a file or a checkpoint would control the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)
