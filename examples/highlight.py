"""Colour a file in the terminal with the model that ``configs/highlight.yaml`` trains.

    python -m seqkit fit --config configs/highlight.yaml
    python examples/highlight.py examples/quickstart.py
    python examples/highlight.py examples/quickstart.py --checkpoint runs/highlight/version_0/checkpoints/best.ckpt
    python examples/highlight.py examples/quickstart.py --picture highlight.svg

There is no parser: every character gets the kind that the model predicts. So it also colours files with syntax
errors and files in other languages, less correctly.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from seqkit.data.sources.python_code import blocks
from seqkit.files import atomic_write, check_not_read
from seqkit.tasks import Tagger

STYLES = {
    "whitespace": "",
    "keyword": "bold magenta",
    "name": "",
    "builtin": "cyan",
    "definition": "bold blue",
    "decorator": "bright_magenta",
    "string": "green",
    "number": "yellow",
    "operator": "bright_black",
    "comment": "italic bright_black",
}
LONGEST = 2000  # characters of a piece, as in training


def newest_checkpoint(folder: Path) -> Path:
    """Return the best checkpoint of the last run.

    Args:
        folder: The folder of the runs, with ``version_N/checkpoints/best.ckpt`` in it.

    Raises:
        FileNotFoundError: There is no checkpoint.
    """
    found = sorted(folder.glob("version_*/checkpoints/best.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f"no version_*/checkpoints/best.ckpt in {folder}; train a model with "
            f"`python -m seqkit fit --config configs/highlight.yaml`, or name a file with --checkpoint"
        )
    return found[-1]


def pieces(source: str) -> list[tuple[int, int]]:
    """Cut a text into pieces (first, end) of at most LONGEST characters.

    Python code is cut into blocks, as in training. Only whitespace lies between the pieces.
    """
    try:
        spans = blocks(source)
    except (SyntaxError, ValueError, RecursionError):
        spans = [(0, len(source))]  # another language, or Python with syntax errors
    return [piece for first, end in spans for piece in _cut(source, first, end)]


def highlight(model: Tagger, source: str) -> Text:
    """Colour a text."""
    text = Text(source)
    spans = pieces(source)
    found = model.predict([source[first:end] for first, end in spans])
    for (position, _), row in zip(spans, found, strict=True):
        for kind, run in groupby(row[model.target_column]):
            length = len(list(run))
            if STYLES.get(kind):
                text.stylize(STYLES[kind], position, position + length)
            position += length
    return text


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Run the example.

    Args:
        arguments: The command-line arguments, by default those of the process.
        console: Where to print; by default the terminal.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the file to colour")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint; by default the newest best.ckpt in --runs")
    parser.add_argument("--runs", type=Path, default=Path("runs/highlight"), help="the folder of the runs")
    parser.add_argument("--picture", type=Path, help="also write the coloured text to this SVG file")
    options = parser.parse_args(arguments)
    try:
        if options.picture:
            check_not_read(options.picture, options.file)
        checkpoint = options.checkpoint or newest_checkpoint(options.runs)
        source = options.file.read_text(encoding="utf-8", errors="replace")
        model = Tagger.load_from_checkpoint(checkpoint, map_location="cpu")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    console = Console(record=options.picture is not None) if console is None else console
    console.print(highlight(model, source), soft_wrap=True)
    if options.picture:
        with atomic_write(options.picture) as picture:
            picture.write_text(console.export_svg(title=options.file.name), encoding="utf-8")


def _cut(source: str, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut at line ends where possible."""
    while end - first > LONGEST:
        line_end = source.rfind("\n", first, first + LONGEST)
        middle = first + LONGEST if line_end < 0 else line_end + 1
        yield first, middle
        first = middle
    if first < end:
        yield first, end


if __name__ == "__main__":
    main()
