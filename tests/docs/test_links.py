"""The files, links and pictures of the README and of the pages."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, name_of, read

CHANGELOG = ROOT / "CHANGELOG.md"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r"^( *)(?:```|:::)\{(?:image|figure)\} (\S+)\n(.*?)^\1(?:```|:::)$", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_exist(page):
    names = re.findall(r"(?<![\w/-])(?:configs|examples|docs|seqkit|tests)/[\w/]+\.\w+", read(page))
    assert not [name for name in names if not (ROOT / name).is_file()]


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=name_of)
def test_links(page):
    broken = []
    for found in LINK.finditer(read(page)):
        link = found[1] or found[2]
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_have_a_text(page):
    """A text says what the picture shows, for those who cannot see it."""
    texts = [(file, text) for text, file in IMAGE.findall(read(page))]
    for _, file, options in PICTURE.findall(read(page)):
        found = re.search(r":alt: (.+)", options)
        texts.append((file, found[1] if found else ""))
    texts += [(tag, "".join(re.findall(r"alt=\"([^\"]+)\"", tag))) for tag in re.findall(r"<img[^>]*>", read(page))]
    assert not [file for file, text in texts if len(text) < 12]


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_a_page_begins_with_its_title(page):
    text = read(page)
    assert re.match(r"# \S|```\{include\}", re.sub(r"\A(---\n.*?\n---\n|\(\S+\)=\n)\s*", "", text, flags=re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them, and those written as ``(name)=``."""
    text = INCLUDE.sub(lambda found: read(page.parent / found[1]), read(page))
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    written = re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | {*written}
