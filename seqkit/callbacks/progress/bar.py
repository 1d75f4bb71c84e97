"""A bar in one line of a terminal."""

import math
import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from seqkit.callbacks.progress.line import Field, join_fields

_LEAST_WIDTH = 10  # characters


class Bar:
    """A name, a bar and values in the last line of the standard output. It is drawn only by :meth:`draw`."""

    def __init__(self) -> None:
        console = Console()
        name, values = (
            TextColumn(text, table_column=Column(no_wrap=True), markup=False)
            for text in ("{task.description}", "{task.fields[values]}")
        )
        self._progress = RichProgress(
            name, BarColumn(None), values, console=console, auto_refresh=False, transient=True, expand=True
        )
        self._progress.add_task("", total=None, values="")
        self._progress.start()

    @property
    def width(self) -> int:
        """The width of the terminal in characters."""
        return self._progress.console.width

    def print(self, text: str) -> None:
        """Print a text above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def draw(self, name: str, done: int, total: float, values: Sequence[Field]) -> None:
        """Draw the bar.

        Args:
            name: What runs.
            done: The number of batches that are done.
            total: The number of all batches; infinite if it is unknown.
            values: The values behind the bar; those that do not fit are left out.
        """
        (task,) = self._progress.tasks
        task.description, task.completed = name, done
        task.total = total if math.isfinite(total) else None
        task.fields["values"] = join_fields(values, self.width - len(name) - _LEAST_WIDTH - 2)
        self._progress.refresh()

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def has_terminal() -> bool:
    """Return whether the standard output is a terminal that can move the cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
