"""Check the files and the seed that the arguments of the command line name, before anything reads them."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import yaml

from seqkit.options import near

_NAMES = ("best", "last", "hpc")  # that Lightning resolves
_LARGEST_SEED = 2**32 - 1
_CONFIG = "config.json"  # of a folder of save_pretrained


def check_files(args: Sequence[str], *, folders: bool = False) -> None:
    """Check that each config is a YAML file of keys and values, and that the checkpoint exists.

    Args:
        args: The arguments of the command line.
        folders: Whether the checkpoint may be a folder of ``save_pretrained``.

    Raises:
        ValueError: One is not; the message names it and the remedy.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", default=[], nargs="?")
    parser.add_argument("--ckpt_path", nargs="?", const="")
    named = parser.parse_known_args(args)[0]
    for config in named.config:
        if config is not None:
            _check_config(config)
    if named.ckpt_path is not None:
        _check_checkpoint(named.ckpt_path, folders=folders)


def is_shared(path: str) -> bool:
    """Whether a path is that of a folder of ``save_pretrained``."""
    return (Path(path) / _CONFIG).is_file()


def check_seed(seed: bool | int) -> None:
    """Check that every random generator takes a seed.

    Raises:
        ValueError: It is out of range.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise ValueError(f"--seed_everything={seed} is out of range; give a whole number from 0 to {_LARGEST_SEED}")


def _check_config(given: str) -> None:
    path = Path(given)
    try:
        if not path.is_file():
            if isinstance(yaml.safe_load(given), dict):  # it is the config itself
                return
            names = [each.name for each in path.parent.glob("*")]
            raise ValueError(
                f"--config={given} {'is no file' if path.exists() else 'does not exist'}{near(path.name, names)}"
            )
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"config {path} is no YAML: {error}") from error
    if not isinstance(config, dict):
        found = "is empty" if config is None else f"holds a {type(config).__name__}"
        raise ValueError(f"config {path} {found}; give keys and values, such as model, data and trainer")


def _check_checkpoint(given: str, *, folders: bool) -> None:
    path = Path(given)
    if not given:
        raise ValueError("--ckpt_path names no file")
    if given in (*_NAMES, "null") or ":" in given or path.is_file() or (path / "meta.pt").is_file():
        return
    if folders and is_shared(given):
        return
    if path.is_dir():
        raise ValueError(f"--ckpt_path={given} is a folder; name a file in it, such as best.ckpt")
    raise ValueError(f"--ckpt_path={given} does not exist; a fit writes runs/version_N/checkpoints/best.ckpt")
