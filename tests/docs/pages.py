"""The pages of the documentation: their code blocks, and the commands in them."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from datasets import Dataset

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
PAGES = [README, *DOCS]

FENCE = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"^# ([\w/]+\.\w+)\n")
SAVE = re.compile(r"as `([\w/]+\.\w+)`:\s*\Z")

# Lightning and the CLI call functions that the pinned jsonargparse deprecates.
DEPRECATED = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


class Block(NamedTuple):
    """A code block.

    Attributes:
        language: As the fence names it; empty if it names none, or a directive such as ``{toctree}``.
        code: The code.
        line: The number of lines before it, for error messages.
        file: What the block is saved as: a first line such as ``# train.py`` says it, or the sentence before the
            block, which then ends in "as `train.py`:".
    """

    language: str
    code: str
    line: int
    file: str | None


def name_of(page: Path) -> str:
    """Return a page's path, for the names of tests."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in their order."""
    text, found = read(page), []
    for fence in FENCE.finditer(text):
        code, line = textwrap.dedent(fence[3]), text.count("\n", 0, fence.start(3))
        named = SAVED.match(code) or SAVE.search(text[: fence.start()])
        found.append(Block(fence[2].strip(), code, line, named[1] if named else None))
    return found


def fenced(page: Path, language: str) -> list[str]:
    """Return the code of the blocks in a language."""
    return [block.code for block in blocks(page) if block.language == language]


def commands(code: str) -> list[list[str]]:
    """Return the commands of a shell block, as words; a backslash continues a line."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines for part in line.split(" && ") if (words := shlex.split(part, comments=True))]


def calls(start: list[str], pages: list[Path] = PAGES) -> list[list[str]]:
    """Return what follows ``start`` in the commands of pages."""
    found = [words for page in pages for code in fenced(page, "sh") for words in commands(code)]
    return [words[len(start) :] for words in found if words[: len(start)] == start]


def execute(page: Path, blocks: list[Block]) -> dict[str, object]:
    """Run blocks one after the other as one program; an error has the line of the page."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
    return names


def write_readme_files(folder: Path) -> dict:
    """Write the README's config ``tagger.yaml`` and its rows into a folder; return the config."""
    (config,) = fenced(README, "yaml")
    (folder / "tagger.yaml").write_text(config, encoding="utf-8")
    rows = {"words": [["the", "cat", "sat"], ["cats", "sit"]] * 300}
    rows["tags"] = [["DET", "NOUN", "VERB"], ["NOUN", "VERB"]] * 300
    Dataset.from_dict(rows).to_parquet(folder / "rows.parquet")
    return yaml.safe_load(config)
