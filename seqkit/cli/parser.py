"""The argument parser of the command line."""

import re
import sys
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from seqkit.cli.messages import short_message


class Parser(LightningArgumentParser):
    """An argument parser with short messages, which takes no abbreviated option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)
        self.family: list[Parser] = [self]
        """The parsers whose options a message may suggest."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print a message and exit with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        usages = (parser.format_usage() for parser in self.family)
        options = {"config", *(option for usage in usages for option in re.findall(r"--([\w.]+)", usage))}
        sys.stderr.write(f"error: {short_message(message, options)}\n")
        self.exit(2)
