"""Tables, paragraphs and numbers as Markdown."""

import statistics
import textwrap
from collections.abc import Sequence

WIDTH = 120  # characters of a line of prose


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table; all columns but the first ``texts`` are right-aligned."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def paragraph(*sentences: str) -> str:
    """Join sentences and wrap them."""
    return textwrap.fill(" ".join(sentences), WIDTH, break_long_words=False, break_on_hyphens=False)


def blocks(*parts: str) -> str:
    """Join paragraphs and tables."""
    return "\n\n".join(parts)


def spread(values: Sequence[float], decimals: int, scale: float = 1) -> str:
    """Return mean and standard deviation, or the only value."""
    mean = f"{scale * statistics.mean(values):,.{decimals}f}"
    return f"{mean} ± {scale * statistics.stdev(values):,.{decimals}f}" if len(values) > 1 else mean


def minutes(seconds: float) -> str:
    """Return a time as minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def median_and_range(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median, and the range of several values."""
    middle = format(statistics.median(values), form)
    return f"{middle} ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else middle
