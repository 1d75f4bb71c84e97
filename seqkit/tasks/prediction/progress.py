"""A bar that shows how many rows are predicted."""

import time
from types import TracebackType
from typing import Any, Self

_PATIENCE = 1.0  # seconds without a bar
_REFRESH = 0.25  # seconds between two drawings of the bar


class PredictionBar:
    """A bar with the number of rows that are done, in the last line of a terminal; nothing in a pipe or a file.

    It is drawn on the standard error, so that predictions can be written to the standard output, and removed at
    the end.

    Args:
        show: Whether there is a bar; None: after one second of work.
        total: The number of all rows; None if it is unknown.
    """

    def __init__(self, show: bool | None, total: int | None) -> None:
        self.total = total
        self._done = 0
        self._drawn = time.perf_counter() + (_PATIENCE if show is None else 0.0) - _REFRESH
        self._is_hidden = show is False
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int) -> None:
        """Count some rows, and draw the bar now and then."""
        self._done += rows
        now = time.perf_counter()
        if self._is_hidden or now - self._drawn < _REFRESH:
            return
        self._drawn = now
        if self._bar is None:
            self._bar = self._started()
            if self._bar is None:
                self._is_hidden = True
                return
        self._bar.update(self._bar.task_ids[0], completed=self._done, refresh=True)

    def _started(self) -> Any:
        """Return a new bar, or None where it cannot be drawn."""
        # Most calls end before they need it, and the library takes a while to import.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if not console.is_terminal or console.is_dumb_terminal:
            return None
        columns = (TextColumn("predict"), BarColumn(None), MofNCompleteColumn(), TextColumn("rows"))
        bar = Progress(
            *columns, TimeRemainingColumn(), console=console, auto_refresh=False, transient=True, expand=True
        )
        bar.add_task("", total=self.total)
        bar.start()
        return bar
