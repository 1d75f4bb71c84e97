"""Format one line of values: as wide as it gets in a file, no wider than a terminal."""

from collections.abc import Sequence
from typing import NamedTuple


class Field(NamedTuple):
    """A part of a line.

    Attributes:
        text: The text.
        short: A shorter one for a line that is too wide; by default the text.
        rank: Fields of the highest rank are left out first; those of rank 0 never.
    """

    text: str
    short: str | None = None
    rank: int = 0


def join_fields(fields: Sequence[Field], width: int | None = None) -> str:
    """Join fields into a line of at most ``width`` characters; None for any width."""
    line = "  ".join(field.text for field in fields)
    if width is None:
        return line
    for rank in sorted({field.rank for field in fields} - {0}, reverse=True):
        if len(line) > width:
            fields = [field for field in fields if field.rank < rank]
            line = "  ".join(field.text for field in fields)
    if len(line) > width:
        line = " ".join(field.text if field.short is None else field.short for field in fields)
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}…"


def named_value(name: str, value: float) -> Field:
    """Format a value with its name: four significant digits, or three."""
    return Field(f"{name} {_number(value, 4)}", f"{name} {_number(value, 3)}")


def speed(tokens: int, seconds: float) -> list[Field]:
    """Format tokens per second; nothing where there are none."""
    if not tokens or not seconds:
        return []
    rate = tokens / seconds
    short = f"{rate / 1000:.0f}k tokens/s" if rate >= 10_000 else f"{rate:.0f} tokens/s"
    return [Field(f"{rate:,.0f} tokens/s", short)]


def clock(seconds: float) -> str:
    """Format a time as ``4:12`` or ``1:04:12``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def share(completed: float) -> str:
    """Format a number of epochs with at most two decimals: ``2``, ``2.5``."""
    return f"{completed:.2f}".rstrip("0").rstrip(".")


def _number(value: float, digits: int) -> str:
    size = abs(value)
    if 1000 <= size < 1e7:
        return f"{value:,.0f}"
    if size >= 1e7 or 0 < size < 0.001:
        return f"{value:.{digits}g}"
    return f"{value:.{digits}f}" if size < 1 else f"{value:#.{digits}g}".rstrip(".")
