"""The options of subcommands that the LightningCLI does not have."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from seqkit.cli.subcommands import PROGRAM
from seqkit.options import nearest


class CommandParser(argparse.ArgumentParser):
    """Parses the options of a subcommand. What is wrong is a ValueError of one line.

    Args:
        name: The subcommand.
        description: What it does, for its help.
    """

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"{PROGRAM} {name}", description=description, allow_abbrev=False)
        self._name = name

    def add_checkpoint(self, what: str = "the checkpoint") -> None:
        """Add the options of a subcommand that reads a checkpoint: its file, and whose classes it may name."""
        self.add_argument("--ckpt_path", required=True, metavar="FILE", default=argparse.SUPPRESS, help=what)
        self.add_argument(
            "--trust",
            nargs="*",
            default=[],
            metavar="MODULE",
            help="modules whose classes the checkpoint may name, such as my_project",
        )

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments after the subcommand.

        Raises:
            ValueError: An option is unknown, is missing or has a wrong value.
        """
        given, others = self.parse_known_args(list(arguments))
        if others:
            name = others[0].partition("=")[0]
            near = nearest(name, re.findall(r"--\w+", self.format_usage()))
            self.error(f"{self._name} has no option {name}" + (f"; did you mean {near}?" if near else ""))
        return given

    def error(self, message: str) -> NoReturn:
        """Raise an error instead of ending the process.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{message}; {self.prog} --help lists all options")
