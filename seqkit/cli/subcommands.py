"""The subcommands, and the answers that need neither torch nor Lightning: help, version, a misspelt subcommand."""

import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata

import seqkit
from seqkit.options import nearest

PROGRAM = "python -m seqkit"
SUBCOMMANDS = {
    "fit": "train a model",
    "validate": "score a checkpoint on the validation split",
    "test": "score a checkpoint on the test split, and write a report",
    "predict": "write the predictions of a checkpoint for the test split, or for texts",
    "inspect": "print and draw the lengths of the data and the plan of its batches",
    "find_lr": "find a learning rate",
    "find_max_tokens": "find the largest token budget that fits",
    "sweep": "fit with several seeds, for mean and standard deviation of the scores",
    "export": "write a checkpoint as an ONNX file",
    "share": "write the model of a checkpoint into a folder, or push it to the Hugging Face Hub",
    "serve": "serve a checkpoint over HTTP, with a page to try it",
    "doctor": "check the installation: versions, compiled code, results, speed",
}
_HELP = f"""\
usage: {PROGRAM} SUBCOMMAND [OPTION ...]

Train and use recurrent models on sequences of different lengths.

subcommands:
{{subcommands}}

options:
  -h, --help       print this help; after a subcommand, all of its options
  --version        print the versions of seqkit, Python, torch and Lightning

example:
  {PROGRAM} fit --config configs/ewt_upos.yaml --trainer.max_epochs 5
  {PROGRAM} test --ckpt_path runs/version_0/checkpoints/best.ckpt
  {PROGRAM} fit --help

The documentation is in README.md and docs/; docs/guide/command_line.md describes all subcommands.
"""


def check_subcommand(arguments: Sequence[str]) -> str:
    """Return the subcommand, the first argument; answer ``--help`` and ``--version``, and exit.

    Args:
        arguments: The arguments after ``python -m seqkit``.

    Raises:
        SystemExit: With status 0 after the help or the version, with 2 if the first argument is no subcommand.
    """
    first = arguments[0] if arguments else ""
    if first in SUBCOMMANDS:
        return first
    if first in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
        raise SystemExit(0)
    if first == "--version":
        sys.stdout.write(f"{_versions()}\n")
        raise SystemExit(0)
    if not first:
        sys.stderr.write(help_text())
        raise SystemExit(2)
    sys.stderr.write(f"error: {_refusal(arguments)}\n")
    raise SystemExit(2)


def help_text() -> str:
    """Return the help of the program."""
    width = max(map(len, SUBCOMMANDS))
    return _HELP.format(subcommands="\n".join(f"  {name:{width}}  {text}" for name, text in SUBCOMMANDS.items()))


def _refusal(arguments: Sequence[str]) -> str:
    first = arguments[0]
    if first.startswith("-"):
        given = next((each for each in arguments if each in SUBCOMMANDS), "fit")
        options = " ".join(each for each in arguments if each != given)
        return f"the subcommand comes first: {PROGRAM} {given} {options}"
    near = nearest(first, SUBCOMMANDS)
    remedy = f"did you mean {near}?" if near else f"give one of {', '.join(SUBCOMMANDS)}"
    return f"there is no subcommand {first!r}; {remedy}"


def _versions() -> str:
    versions = {"Python": platform.python_version()}
    for name in ("torch", "lightning"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return f"seqkit {seqkit.__version__} ({', '.join(f'{name} {version}' for name, version in versions.items())})"
