"""The interactive picture of the page on packing, in headless Chromium."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from seqkit import packed
from tests.docs.test_links import anchors
from tests.serve.browser import CHROMIUM, Browser

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explained" / "packing.md").read_text(encoding="utf-8")
BLOCK = re.search(r"^```\{raw\} html\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SUMMARY = (
    "8 sequences, 45 tokens. Padded, the batch takes 64 steps, packed 45: 30% of the padded steps are padding. "
    "batch_sizes: 8 8 8 7 5 4 3 2."
)

chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The picture alone, in a page with the files that it names."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS / "_static", folder / "_static")
    page = folder / "explained" / "packing.html"
    page.parent.mkdir()
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Packing</title>'
    page.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{BLOCK}</body></html>', "utf-8")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    try:
        browser.call("Page.navigate", url=page.as_uri())
        browser.wait("document.querySelector('#packing-summary')?.textContent")
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(opened):
    """The page as it opens; its code must make no error."""
    opened.resize(1000, 800)
    opened.evaluate("document.querySelector('#packing-demo button:last-child').click()")
    yield opened
    assert not opened.complaints()


def enter(browser, text):
    browser.evaluate("document.querySelector('#packing-lengths').select()")
    browser.type(text)


def text_of(browser, selector):
    return browser.evaluate(f"document.querySelector('{selector}').textContent")


def texts(browser, selector):
    return browser.evaluate(f"[...document.querySelectorAll('{selector}')].map((node) => node.textContent)")


def test_without_javascript_the_numbers_are_there():
    assert "64 steps, packed 45. batch_sizes: 8 8 8 7 5 4 3 2." in " ".join(BLOCK.split())
    for name in re.findall(r"\.\./(_static/[\w.]+)", BLOCK):
        assert (DOCS / name).is_file()
    assert "//" not in BLOCK  # nothing from another server
    script = (DOCS / "_static" / "packing.js").read_text(encoding="utf-8")
    ids = set(re.findall(r'id="([\w-]+)"', BLOCK) + re.findall(r'\bid: "([\w-]+)"', script))
    assert {"packing-demo", "packing-lengths"} <= ids
    assert not ids & anchors(DOCS / "explained" / "packing.md")  # Sphinx gives each section the id of its heading


@chromium
def test_it_opens_with_the_example(browser):
    assert text_of(browser, "#packing-summary") == SUMMARY
    assert browser.evaluate("document.querySelectorAll('.packing-padding').length") == 19
    assert all(url.startswith("file:") for url in browser.requested() if url != "about:blank")


@chromium
@pytest.mark.parametrize("lengths", [[4, 6, 8, 5, 4, 3, 7, 8], [1], [3, 3], [2, 5, 1, 5], [*range(24, 0, -1)]])
def test_it_packs_as_seqkit_does(browser, lengths):
    enter(browser, ", ".join(map(str, lengths)))
    numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    pack = packed.pack(numbers, lengths)
    assert texts(browser, ".packing-memory .packing-cell") == [LETTERS[row] for row in pack.data.tolist()]
    sizes = [str(size) for size in pack.batch_sizes.tolist()]
    for name in ("memory", "packed"):
        assert texts(browser, f".packing-{name} .packing-size") == sizes
    padded = packed.to_padded(pack, value=-1).flatten().tolist()
    assert texts(browser, ".packing-padded .packing-cell") == ["" if row < 0 else LETTERS[row] for row in padded]
    assert f"packed {sum(lengths)}: " in text_of(browser, "#packing-summary")


@chromium
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Type a length for each sequence, such as 4 6 8."),
        ("4 2.5", "“2.5” is not a length. Type whole numbers from 1 on, such as 4 6 8."),
        ("4 0", "“0” is not a length. Type whole numbers from 1 on, such as 4 6 8."),
        ("25", "A sequence of 25 tokens is too long to draw. Type lengths up to 24."),
        ("1 " * 27, "27 sequences are too many to draw. Type at most 26 lengths."),
        ("<b>", "“<b>” is not a length. Type whole numbers from 1 on, such as 4 6 8."),
    ],
)
def test_what_is_no_length_is_said(browser, text, message):
    enter(browser, text or " ")
    assert text_of(browser, "#packing-error") == message
    assert text_of(browser, "#packing-summary") == SUMMARY  # the last valid lengths
    enter(browser, "2 1")
    assert text_of(browser, "#packing-error") == ""
    assert not browser.evaluate("document.querySelector('#packing-lengths').hasAttribute('aria-invalid')")


@chromium
def test_a_screen_reader_gets_names_and_descriptions(browser):
    enter(browser, "1 2")
    assert browser.names("textbox") == ["Lengths of the sequences, with spaces between them"]
    assert browser.names("button") == ["Random lengths", "Reset"]
    assert browser.names("image") == [
        "a: 1 tokens, 1 padding; b: 2 tokens, 0 padding",
        "from top to bottom b a; batch_sizes 2 1",
        "step 1: b a; step 2: b",
    ]


@chromium
def test_the_keyboard_reaches_all(browser):
    browser.evaluate("document.querySelector('#packing-lengths').focus()")
    for name in ("Random lengths", "Reset"):
        browser.press("Tab")
        assert browser.evaluate("document.activeElement.textContent") == name
        browser.press(" ")
        assert text_of(browser, "#packing-error") == ""
    assert text_of(browser, "#packing-summary") == SUMMARY


@chromium
def test_it_fits_a_phone(browser):
    browser.resize(390, 800)
    enter(browser, "24 " * 26)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
