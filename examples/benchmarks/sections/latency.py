"""The time of one step of a stream."""

from collections.abc import Sequence
from typing import Any

from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on


def latency_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of latency.py: milliseconds of a step."""
    names = list(rows[0]["milliseconds"])
    cells = []
    for row in rows:
        sequences = f"{row['sequences']} sequence{'s' * (row['sequences'] > 1)}"
        label = f"{row['units']} units, {sequences}, prefix {row['prefix']}"
        cells.append([label, *(f"{row['milliseconds'][name]:.2f}" for name in names)])
    return table(["milliseconds of a step", *names], cells)


def latency() -> str:
    """Return the table of the time of a step."""
    found = load("latency")
    return blocks(latency_table(found["rows"]), paragraph(measured_on(found)))
