"""The config in a checkpoint, and the modules whose classes it may name."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seqkit.class_paths import LIBRARIES, class_at, public_path
from seqkit.cli.arguments import is_shared
from seqkit.data.lightning import SequenceDataModule, finished_epochs
from seqkit.tasks import SequenceModule
from seqkit.tasks.checkpoints.loading import named_model, read_checkpoint, saved_model
from seqkit.tasks.checkpoints.parts import check_arguments
from seqkit.tasks.checkpoints.rebuild import other_task
from seqkit.tasks.prediction import MAX_TOKENS
from seqkit.tasks.sharing.files import CONFIG, naming_version, read_config

_CLASS_KEY = re.compile(r"model|data\.source|(model|data)\.(.*\.)?class_path")
_LIBRARIES = tuple(f"{package}." for package in LIBRARIES)
_CLASS = re.compile(r"\w+(\.\w+)+")


class SavedConfig(NamedTuple):
    """What the command line reads from a checkpoint, or from a folder of ``save_pretrained``."""

    config: dict[str, Any]
    """The model and the data, as in a config."""
    spec: dict[str, Any]
    """The spec of the data."""
    trained_in: str | None
    """The working directory of the training, for messages; None if a script has trained."""
    epochs: int | None
    """How many epochs of the training are finished; None if the checkpoint does not tell."""
    steps: int
    """The number of its steps."""


def read_saved_config(args: Sequence[str]) -> SavedConfig | None:
    """Return what is in the checkpoint or the folder that ``--ckpt_path`` names, or None if it names neither.

    A folder has no options of the data. The parser imports what a config names, so every name is checked here.

    Args:
        args: The arguments of the command line.

    Raises:
        ValueError: The file is no checkpoint of seqkit, or names a class that may not be used.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    path = parser.parse_known_args(args)[0].ckpt_path
    if path is None or not (Path(path).is_file() or is_shared(path)):
        return None
    trust = consented_modules(args)
    if is_shared(path):
        return _read_folder(path, args, trust)
    checkpoint = read_checkpoint(path)
    cls, spec, arguments = saved_model(checkpoint, SequenceModule, trust)
    arguments = check_arguments(cls, arguments, trust=trust, place="model")
    config: dict[str, Any] = {"model": {"class_path": public_path(cls), "init_args": arguments}}
    if "seqkit_data" in checkpoint:
        data = checkpoint["seqkit_data"]
        if not isinstance(data, dict):
            raise ValueError(
                f"the checkpoint's seqkit_data is a {type(data).__name__}, not the options of the data"
            )
        data = {key: value for key, value in data.items() if key not in ("spec", "trust")}
        for key in ("inputs", "targets"):
            if isinstance(data.get(key), str):
                data[key] = {data[key]: None}  # the parser would read a text as a file's name, too
        config["data"] = check_arguments(SequenceDataModule, data, trust=trust, place="data")
    _remove_replaced(config, args)
    epochs, steps = None, checkpoint.get("global_step")
    with suppress(KeyError, TypeError, AttributeError):  # a script may have saved it without the data's state
        epochs = finished_epochs(checkpoint)
    return SavedConfig(config, spec, _directory(checkpoint), epochs, steps if isinstance(steps, int) else 0)


def _read_folder(folder: str, args: Sequence[str], trust: Sequence[str]) -> SavedConfig:
    saved = read_config(Path(folder) / CONFIG)
    with naming_version(saved):
        cls = named_model(saved["class_path"], saved["spec"], SequenceModule, trust, place="the config's model")
        arguments = check_arguments(cls, saved["init_args"], trust=trust, place="model")
    config = {
        "model": {"class_path": public_path(cls), "init_args": arguments},
        "data": {"max_tokens": MAX_TOKENS},
    }
    _remove_replaced(config, args)
    return SavedConfig(config, saved["spec"], None, None, 0)


def _directory(checkpoint: dict[str, Any]) -> str | None:
    """Return the working directory of the training; None if it is no path that a message may show."""
    directory = checkpoint.get("seqkit_trained_in")
    return directory if isinstance(directory, str) and directory.isprintable() else None


def _remove_replaced(config: dict[str, Any], args: Sequence[str]) -> None:
    """Remove, in place, the arguments of the parts that the user's own arguments replace by another class.

    The parser would keep those that the other class has, too, and read a text as a class where one is expected.

    Raises:
        ValueError: The model itself is of another class.
    """
    own = [(key.removesuffix(".class_path").replace(".init_args.", "."), value) for key, value in _values(args)]
    for name, part in _parts("model", config["model"]) + _parts("data", config.get("data")):
        saved = part["class_path"]
        for given in [value for key, value in own if key == name and not _is_same_class(value, saved)]:
            if name == "model":
                raise ValueError(other_task(saved, given))
            part["init_args"] = {}


def _parts(name: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the parts in a config, each with its name on the command line."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return []
    found = [(name, value)] if "class_path" in value else []
    for key, item in value.items():
        found += _parts(name if key == "init_args" else f"{name}.{key}", item)
    return found


def _is_same_class(given: str, saved: str) -> bool:
    if saved in (given, f"{saved.rpartition('.')[0]}.{given}"):
        return True
    try:
        return class_at(given) is class_at(saved)
    except ValueError:
        return False


def consented_modules(args: Sequence[str]) -> list[str]:
    """Return the modules of ``--trust``, and the packages of the classes in the user's own model and data."""
    modules = []
    for key, value in _values(args):
        if re.fullmatch(r"trust(\.\d+)?", key):
            modules.append(value)
        elif _CLASS_KEY.fullmatch(key) and _CLASS.fullmatch(value) and not value.startswith(_LIBRARIES):
            modules.append(value.partition(".")[0])
    return modules


def _values(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the texts in the options and in the configs that they name, each with its key."""
    key = ""
    for arg in args:
        value = arg
        if arg.startswith("-"):
            key, _, value = arg.lstrip("-").partition("=")
        if key in ("c", "config") and value:
            text = Path(value).read_text(encoding="utf-8") if Path(value).is_file() else value
            yield from texts("", yaml.safe_load(text))
        elif value:
            yield from texts(key, _parsed(value))


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield all texts in a value, each with its key; ``key`` is that of the value itself."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(f"{key}.{name}" if key else str(name), item)
