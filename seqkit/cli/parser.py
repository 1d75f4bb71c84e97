"""The argument parser of the command line: it explains an error in one sentence, with the nearest valid option."""

import ast
import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

import seqkit
from seqkit.class_paths import class_at
from seqkit.cli.messages import printable
from seqkit.options import nearest
from seqkit.upstream.jsonargparse import parameter_types

_PACKAGES = (
    "seqkit",
    "seqkit.nn",
    "seqkit.data",
    "seqkit.optim",
    "seqkit.losses",
    "seqkit.callbacks",
    "torch.optim",
)
_LONGEST = 300  # characters; a value may be a whole config
_ELSEWHERE = {  # how other programs call an option
    "batch_size": "data.max_sequences",
    "checkpoint": "ckpt_path",
    "epochs": "trainer.max_epochs",
    "gpus": "trainer.devices",
    "learning_rate": "model.optimizer.lr",
    "lr": "model.optimizer.lr",
    "resume": "ckpt_path",
    "seed": "seed_everything",
}
_TYPES = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a text"}
_PART_KEYS = ("class_path", "init_args", "dict_kwargs")
_REQUIRED = re.compile(r"the following arguments are required: ([\w., ]+?)(?=\. Got value|$)", re.MULTILINE)
_VALUE = re.compile(r"(?:Given|Got) value: (.*?)(?:\. Got value: |$)", re.MULTILINE)
_NOISE = re.compile(r"\s*(Subtypes: |Errors:$|Given value|- Expected a path but |Does not validate against any)")


class Parser(LightningArgumentParser):
    """An argument parser that says an error in one sentence, and takes no abbreviated option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)
        self.family: list[Parser] = [self]
        """The parsers whose options a message may suggest."""
        self.other_options: Sequence[str] = ()
        """Names of further options that it may suggest, without dashes."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print a message and exit with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        usages = (parser.format_usage() for parser in self.family)
        found = [option for usage in usages for option in re.findall(r"--([\w.]+)", usage)]
        options = list(dict.fromkeys([*self.family[0].other_options, *found, "config", "help", "print_config"]))
        explained = sentence(message, options, str(self.family[-1].prog))
        sys.stderr.write(f"error: {printable(explained)}\n")
        self.exit(2)


def sentence(message: str, options: Sequence[str], program: str) -> str:
    """Say an error of the parser in one sentence.

    Args:
        message: The parser's message.
        options: The names of all options, without dashes.
        program: The program and the subcommand.
    """
    listed = f"{program} --help lists all options"
    if found := re.search(r"unrecognized arguments: (.*)|does not accept option '([\w.-]+)'", message):
        return _unknown_option(found[1] or f"{found[2]}", options, listed, dashes="" if found[2] else "--")
    if found := re.search(r"argument (?:-\w/)?(--[\w.]+): expected (.*)", message):
        return f"{found[1]} has no value; it takes {found[2]}"
    if found := re.search(r"[Oo]ption '([\w.-]+)' is not accepted", message):
        return _unknown_argument(message, found)
    if found := _REQUIRED.search(message):
        return _missing(message, found, program)
    for explain in (_wrong_value, _wrong_class, _wrong_part):
        if explained := explain(message):
            return explained
    lines = dict.fromkeys(line.strip(" -") for line in message.splitlines() if line and not _NOISE.match(line))
    return _cut(" ".join(lines))


def _unknown_option(given: str, options: Sequence[str], listed: str, dashes: str) -> str:
    name, _, value = given.split()[0].partition("=")
    if dashes and not name.startswith("-"):
        is_config = Path(name).suffix in (".yaml", ".yml")
        likely = f"config {name}" if is_config else f"{name} {value}"
        return f"{given!r} is no option; " + (
            f"did you mean --{likely}?" if is_config or name in options else listed
        )
    near = _nearest_option(name.lstrip("-").replace("-", "_"), options)
    return f"there is no option {name}; " + (f"did you mean {dashes}{near}?" if near else listed)


def _nearest_option(name: str, options: Sequence[str]) -> str | None:
    """Return the option that a misspelt one is most like, or that has the same last part or first part."""
    of_model = _model_options()
    known = [*options, *(f"model.{each}" for each in of_model)]
    first, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if name in options:
        return name
    if last in _ELSEWHERE and name in (last, f"trainer.{last}", f"data.{last}"):
        return _ELSEWHERE[last]
    if not rest:
        ends = {option.rpartition(".")[2]: option for option in reversed(known)}
        near = last if last in ends else nearest(name, options) or nearest(last, ends)
        return ends.get(near, near) if near else None
    if first in of_model:
        return f"model.{name}"
    root = nearest(first, ["model", *dict.fromkeys(each.partition(".")[0] for each in options if "." in each)])
    near = nearest(rest, [option.removeprefix(f"{root}.") for option in options if option.startswith(f"{root}.")])
    if root is None or (near is None and root == first):
        return None
    return f"{root}.{near or rest}"


def _model_options() -> Iterable[str]:
    """Return the arguments of all tasks."""
    tasks = importlib.import_module("seqkit.tasks")
    classes = [getattr(tasks, name) for name in seqkit.__all__ if hasattr(tasks, name)]
    return dict.fromkeys(name for cls in classes for name in parameter_types(cls))


def _unknown_argument(message: str, found: re.Match[str]) -> str:
    name, rest = found[1], message[found.end() :].partition("\n")[0]
    paths = re.findall(r"given class_path '([\w.]+)'", message[: found.start()])
    paths += re.findall(r"^\. Got value: Namespace\(class_path='([\w.]+)'", rest)
    of = f"{paths[-1]} of {_place(message, found)}" if paths else _place(message, found)
    known: list[str] = []
    with suppress(ValueError):
        known = list(parameter_types(class_at(paths[-1]))) if paths else []
    elsewhere = _ELSEWHERE.get(name, "")
    near = elsewhere if elsewhere.startswith(f"{_place(message, found)}.") else nearest(name, known)
    return _cut(
        f"{of} has no option {name!r}; " + (f"did you mean {near}?" if near else f"it has {', '.join(known)}")
    )


def _missing(message: str, found: re.Match[str], program: str) -> str:
    place = _place(message, found)
    names = [name.removeprefix(f"{program.split()[-1]}.") for name in found[1].split(", ")]
    if place:
        return f"{', '.join(f'{place}.{name}' for name in names)} is required and is not given"
    return (
        f"{' and '.join(sorted(names))} {'is' if len(names) == 1 else 'are'} required; give a config by "
        f"--config FILE or, for a trained model, a checkpoint by --ckpt_path FILE"
    )


def _wrong_class(message: str) -> str | None:
    """Explain the name of a class that does not exist or is not unique."""
    if found := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        module = importlib.import_module(found[1])
        near = nearest(found[2], getattr(module, "__all__", None) or dir(module))
        end = f"did you mean {found[1]}.{near}?" if near else "give the path of a class, such as seqkit.nn.LSTM"
        return f"{_place(message, found)}: there is no {found[1]}.{found[2]}; {end}"
    if found := re.search(r"No module named '([\w.]+)'", message):
        near = nearest(found[1], [*_PACKAGES, "torch", "torch.nn", "lightning.pytorch.callbacks"])
        return f"{_place(message, found)}: there is no module {found[1]!r}" + (
            f"; did you mean {near}?" if near else ""
        )
    if found := re.search(r"Multiple subclasses with name (\w+)\..*: ([\w., ]+)\.", message):
        paths = sorted(found[2].split(", "), key=lambda path: (not path.startswith("seqkit."), len(path)))
        own = paths[0].startswith("seqkit.")
        end = f"did you mean {paths[0]}?" if own else f"give one of {', '.join(paths)}"
        return _cut(f"{_place(message, found)}: several classes are named {found[1]}; {end}")
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        classes = {name: package for package in reversed(_PACKAGES) for name in _classes(package)}
        near = nearest(found[1], classes)
        end = f"did you mean {classes[near]}.{near}?" if near else "give its path, such as seqkit.nn.LSTM"
        return f"{_place(message, found)}: there is no class {found[1]!r}; {end}"
    return None


def _classes(package: str) -> list[str]:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or dir(module)
    return [name for name in names if isinstance(getattr(module, name), type)]


def _wrong_part(message: str) -> str | None:
    """Explain a part of the config that is not given by a class and its arguments."""
    found = re.search(
        r"Not a valid subclass of (\w+)|Expected an instantiatable class, but (\S+) is abstract", message
    )
    if not found:
        return None
    place, given = _place(message, found), message.rpartition("Given value: ")[2]
    with suppress(ValueError, SyntaxError):  # it is not a plain dict
        keys = ast.literal_eval(given)
        for key in keys if isinstance(keys, dict) else ():
            if key not in _PART_KEYS and (near := nearest(key, _PART_KEYS)):
                return f"there is no option {place}.{key}; did you mean {place}.{near}?"
    return f"{place}: name a class by class_path, such as seqkit.Tagger, and give its arguments in init_args"


def _wrong_value(message: str) -> str | None:
    """Explain a value of another type, or one that is none of the allowed."""
    expected = re.findall(
        r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.*?)\](?=$|\. Got))", message, re.MULTILINE
    )
    found, values = re.search("Expected a ", message), _VALUE.search(message)
    if not found or not values or all(kind == "NoneType" for kind, _ in expected):
        return None
    choices = [choice.strip("'") for _, literals in expected for choice in literals.split(", ") if literals]
    types = [_TYPES.get(kind, kind) for kind, _ in expected if kind not in ("", "NoneType")]
    allowed = [*types, *([f"one of {', '.join(choices)}"] if choices else [])]
    near = nearest(values[1], choices)
    return _cut(
        f"{_place(message, found)}={values[1]}: must be {' or '.join(dict.fromkeys(allowed))}"
        + (f"; did you mean {near}?" if near else "")
    )


def _place(message: str, found: re.Match[str]) -> str:
    """Return the key of the config at which the parser found a fault."""
    return ".".join(dict.fromkeys(re.findall(r'Parser key "([\w.]+)"', message[: found.start()])))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
