"""The options of the command line on a page, read from the program's own help.

A block names what follows ``python -m seqkit``, and which options are shown::

    ```{options} fit
    without model data trainer
    ```

    ```{options} fit
    only data
    ```

The second form leaves out the first part of the names, as a config does.
"""

import contextlib
import functools
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from seqkit.cli import main

if TYPE_CHECKING:
    from sphinx.application import Sphinx

BLOCK = re.compile(r"^```\{options\} (.+)\n(?:(only|without) (.+)\n)?```$", re.MULTILINE)
ENTRY = re.compile(r"  (-\S.*?)(?:  +(.*))?")
KIND = re.compile(r" ?\(((?:required|type: |default: ).*?)(?:, known subclasses: .*|\))$")  # may be wrapped
CODE = re.compile(r":\w+:`~?([^`]+)`|``([^`]+)``|`([^`]+)`")


@dataclass
class Option:
    """An option.

    Args:
        name: As it is written first, such as ``--config``.
        value: What the help writes for its value, such as ``FILE``.
        text: What it does.
        kind: Its type and its default.
    """

    name: str
    value: str
    text: str
    kind: str


@functools.cache
def help_of(words: str) -> str:
    """Return what a command prints with ``--help``, each entry in one line."""
    printed = io.StringIO()
    arguments = words.split()
    if not any(word.endswith(".help") for word in arguments):
        arguments.append("--help")
    wide = mock.patch.dict(os.environ, {"COLUMNS": "4000"})
    with wide, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(arguments)
    return printed.getvalue()


def read_options(words: str) -> list[Option]:
    """Return the options of a command."""
    found: list[Option] = []
    for line in help_of(words).partition("\n\n")[2].splitlines():
        if entry := ENTRY.fullmatch(line):
            long = (shown for shown in re.split(r", (?=-)", entry[1]) if shown.startswith("--"))
            name, _, value = next(long).partition(" ")
            value = re.sub(r"[^ -~]", "", value)  # jsonargparse marks some with a character that is not shown
            found.append(Option(name, value, entry[2] or "", ""))
        elif found and line.startswith("        ") and not found[-1].text:
            found[-1].text = line.strip()
    for option in found:
        if kind := KIND.search(option.text):
            option.text, option.kind = option.text[: kind.start()], kind[1]
    return [option for option in found if not option.name.endswith(".help")]


def definition_list(options: Sequence[Option], prefix: str = "") -> str:
    """Return a Markdown definition list; the names are those of a config if there is a prefix."""
    entries = []
    for option in options:
        name = option.name.removeprefix(f"--{prefix}.") if prefix else option.name
        value = f" {option.value}" if option.value and not prefix else ""
        kind = f"*{_escaped(option.kind)}*" if option.kind else ""
        text = " ".join(part for part in (_escaped(option.text), kind) if part) or "-"
        entries.append(f"`{name}{value}`\n: {text}")
    return "\n\n".join(entries)


def _escaped(text: str) -> str:
    """Return Markdown for the text of a help, which may have code in reStructuredText."""
    parts = CODE.split(text.strip())
    for number, part in enumerate(parts):
        is_code = number % (CODE.groups + 1)
        parts[number] = (part and f"`{part}`") if is_code else re.sub(r"([\\*_<>\[\]`|])", r"\\\1", part)
    return "".join(part or "" for part in parts)


def expanded(block: re.Match[str]) -> str:
    """Return the options of a block."""
    options, prefixes = read_options(block[1]), (block[3] or "").split()
    starts = tuple(f"--{prefix}." for prefix in prefixes)
    whole = {f"--{prefix}" for prefix in prefixes}
    if block[2] == "only":
        options = [option for option in options if option.name.startswith(starts)]
    elif block[2] == "without":
        options = [option for option in options if not option.name.startswith(starts) and option.name not in whole]
    if not options:
        raise ValueError(f"no option is left in {block[0]!r}")
    return definition_list(options, prefixes[0] if block[2] == "only" else "")


def setup(app: "Sphinx") -> dict[str, bool]:
    """Connect to the build."""

    def expand(_app: "Sphinx", _page: str, source: list[str]) -> None:
        source[0] = BLOCK.sub(expanded, source[0])

    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
