"""How long the recorded runs of the tutorials took, and where."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sections.markdown import paragraph
from sections.results import setting_of

RECORDED = Path(__file__).parents[3] / "docs" / "tutorials" / "recorded"


def recorded(file: Path) -> str:
    """Return the paragraph on a recorded run."""
    run = json.loads(file.read_text(encoding="utf-8"))
    time = f"`{run['command']}` printed this page's output in {run['seconds']:.0f} seconds."
    return paragraph(time, f"Run on: {setting_of(run)}.")


TUTORIALS: dict[str, Callable[[], str]] = {
    f"tutorial-{file.stem}": partial(recorded, file) for file in sorted(RECORDED.glob("*.json"))
}
