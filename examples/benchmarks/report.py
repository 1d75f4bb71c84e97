"""Write the figures of all pages from the JSON files in results/, or check that the pages agree with them.

    python examples/benchmarks/report.py [--check]

The pages are the README, those in docs/, and RESULTS.md. Figures are between the lines ``<!-- figures: NAME -->``
and ``<!-- end -->``; the names are those of ``SECTIONS`` in sections/. What is between them is replaced. The
pictures in docs/reference/ are drawn from the same files. A speed, a share of time or a table of measurements must
not be elsewhere on a page, in a docstring or in a comment of a config.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sections import SECTIONS
from sections.pictures import PICTURES, draw, is_current

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
PAGES = [ROOT / "README.md", *DOCS, HERE / "RESULTS.md"]
FIGURES = ROOT / "docs" / "reference"
SOURCES = [*sorted((ROOT / "seqkit").rglob("*.py")), *sorted((ROOT / "configs").glob("*.yaml"))]

MARKER = re.compile(r"^<!-- figures: (\S+) -->$", re.MULTILINE)
BLOCK = re.compile(r"^<!-- figures: (\S+) -->\n(?:(?!<!-- ).*\n)*<!-- end -->$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"\d[\d,.]*"
CLAIM = re.compile(
    rf"{NUMBER} ?(tokens/s|(thousand|million) tokens/s|GFLOP|µs\b|ms\b|(% )?(faster|slower)|times (as )?(fast|slow)"
    rf"|% (waste|padding|of the time))|± ?{NUMBER}|took {NUMBER} ?s\b"
)
MEASURED_CELL = re.compile(rf"\| *\**({NUMBER}:\d\d|\d+\.\d+|\d{{1,3}},\d{{3}}|{NUMBER} ?%)\** *\|")


def fill(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """Replace what is between the markers of a page.

    Raises:
        ValueError: A marker names no section, or has no end.
    """
    closed = {match.start() for match in BLOCK.finditer(text)}
    for marker in MARKER.finditer(text):
        if marker[1] not in sections:
            raise ValueError(f"no section {marker[1]!r}; there are {', '.join(sections)}")
        if marker.start() not in closed:
            raise ValueError(f"no <!-- end --> after <!-- figures: {marker[1]} -->")
    return BLOCK.sub(lambda m: f"<!-- figures: {m[1]} -->\n\n{sections[m[1]]()}\n\n<!-- end -->", text)


def unbacked(text: str) -> list[str]:
    """Return the lines of a page, outside its code and its markers, with measurements that no script writes."""
    rest = CODE.sub("", BLOCK.sub("", text))
    return [line for line in rest.splitlines() if CLAIM.search(line) or MEASURED_CELL.search(line)]


def title(file: Path) -> str:
    """Return a file's path in the project."""
    return file.relative_to(ROOT).as_posix()


def problems() -> Iterator[str]:
    """Yield what does not agree with the results, a line for each."""
    used: set[str] = set()
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), title(page)
        used |= {marker[1] for marker in MARKER.finditer(text)}
        try:
            if fill(text, SECTIONS) != text:
                yield f"{name} differs from results/; run python examples/benchmarks/report.py"
        except ValueError as error:
            yield f"{name}: {error}"
        yield from (f"{name}: no marker around the measurements in {line!r}" for line in unbacked(text))
    yield from (f"no page uses the section {name!r}" for name in SECTIONS if name not in used)
    for name in PICTURES:
        if not is_current(name, FIGURES / f"{name}.png"):
            yield f"docs/reference/{name}.png differs from results/; run python examples/benchmarks/report.py"
    for source in SOURCES:
        for line in source.read_text(encoding="utf-8").splitlines():
            if CLAIM.search(line):
                yield f"{title(source)}: a measurement that no script writes, in {line.strip()!r}"


def write() -> None:
    """Write all pages and pictures."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill(text, SECTIONS)
        if filled != text:
            page.write_text(filled, encoding="utf-8")
            print(f"written: {title(page)}")
    for name in PICTURES:
        picture = FIGURES / f"{name}.png"
        if not picture.exists() or not is_current(name, picture):
            draw(name, picture)
            print(f"drawn: {title(picture)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; return the status of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page and a result differ")
    given = parser.parse_args(arguments)
    if not given.check:
        write()
    found = list(problems())
    print("\n".join(found) or "all figures agree with the results")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
