"""The page in headless Chromium, beside a stand-in for the server that knows some models."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seqkit.serve.page import read_page
from tests.serve.browser import CHROMIUM, Browser

chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


def tagger(labels, **options):
    targets = {"tags": {"kind": "class", "per": "token", "labels": labels}}
    return {"task": "seqkit.Tagger", "inputs": {"words": {"kind": "words"}}, "targets": targets} | options


def tags(row):
    kinds = ["DET", "NOUN", "VERB"]
    count = len(row["words"])
    return {
        "tags": [kinds[i % 3] for i in range(count)],
        "tags_scores": [0.5 + 0.4 / (i + 1) for i in range(count)],
    }


def spans(row):
    count = len(row["words"])
    names = (["B-person", "I-person", "O", "O", "B-place"] + ["O"] * count)[:count]
    found = [{"type": "person", "start": 0, "end": 2}, {"type": "place", "start": 4, "end": 5}]
    return {"tags": names, "tags_spans": [span for span in found if span["end"] <= count]}


def refuse(row):
    raise ValueError("row 0: there are no words; leave the row out")


ROWS = [f"emotion {i}" for i in range(15)]
MODELS = {
    "tags": (tagger(["DET", "NOUN", "VERB"]), tags),
    "spans": (tagger(["O", "B-person", "I-person", "B-place", "I-place"]), spans),
    "characters": (
        tagger(["keyword", "name", "whitespace"], inputs={"words": {"kind": "text"}}),
        lambda row: {
            "tags": ["keyword" if c in "def" else "whitespace" if c.isspace() else "name" for c in row["words"]]
        },
    ),
    "classes": (
        {
            "task": "seqkit.Classifier",
            "inputs": {"text": {"kind": "text"}},
            "targets": {"label": {"kind": "class", "per": "sequence", "labels": ROWS}},
        },
        lambda row: {
            "label": ROWS[2],
            "label_scores": {name: (0.6 if i == 2 else 0.4 / 14) for i, name in enumerate(ROWS)},
        },
    ),
    "series": (
        {
            "task": "seqkit.Regressor",
            "inputs": {"channels": {"kind": "numbers", "size": 2}},
            "targets": {"rul": {"kind": "value", "per": "token"}},
        },
        lambda row: {"rul": [100.0 - i for i in range(len(row["channels"]))]},
    ),
    "forecast": (
        {"task": "seqkit.Forecaster", "inputs": {"channels": {"kind": "numbers", "size": 2}}, "targets": {}},
        lambda row: {"channels": [[row["channels"][-1][0] + i, 1.0] for i in range(1, 4)]},
    ),
    "language": (
        {"task": "seqkit.LanguageModel", "inputs": {"text": {"kind": "text"}}, "targets": {}},
        lambda row: {"nll": [float(i % 5) for i in range(len(row["text"]))], "end_nll": 1.0, "perplexity": 7.5},
    ),
    "pair": (
        {
            "task": "seqkit.Classifier",
            "inputs": {"premise": {"kind": "words"}, "hypothesis": {"kind": "words"}},
            "targets": {"label": {"kind": "class", "per": "sequence", "labels": ["yes", "no"]}},
        },
        lambda row: {"label": "yes", "label_scores": {"yes": 0.75, "no": 0.25}},
    ),
    "refused": (tagger(["A"]), refuse),
    "hostile": (
        tagger([HOSTILE], inputs={HOSTILE: {"kind": "words"}}),
        lambda row: {"tags": [HOSTILE] * len(row[HOSTILE]), HOSTILE: [HOSTILE], "label": HOSTILE},
    ),
}


class Handler(BaseHTTPRequestHandler):
    """The page, and the answers of one model below each path."""

    def do_GET(self):
        name, what = self.path.split("/")[1:3]
        if what == "info":
            self.reply(200, {"model": {"version": "1.2.3"} | MODELS[name][0]})
        else:
            page, headers = read_page()
            self.reply(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"} | headers)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        try:
            self.reply(200, MODELS[self.path.split("/")[1]][1](body["row"]))
        except ValueError as error:
            self.reply(422, {"detail": str(error)})

    def reply(self, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json"} if headers is None else headers
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    opened.resize(800, 700)
    yield opened
    opened.close()


@pytest.fixture
def predict(site, browser):
    """Open a model's page, type into its first field, and wait for the answer; return the browser."""

    def run(name, text):
        browser.open(f"{site.url}/{name}/")
        browser.type(text)
        browser.press("Enter", modifiers=2)
        browser.wait(
            "document.querySelector('#status').textContent || document.querySelector('#error').textContent"
        )
        assert not browser.complaints()
        assert all(url.startswith((site.url, "data:,")) for url in browser.requested())
        return browser

    return run


def text_of(browser, selector):
    return browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((node) => node.innerText)")


def test_the_page_asks_nobody_else_and_allows_its_own_script_only():
    page, headers = read_page()
    assert re.findall(r"https?://\S+", page) == ['http://www.w3.org/2000/svg",']  # a name, not an address
    assert "innerHTML" not in page
    assert "style=" not in page
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    for tag in ("script", "style"):
        content = page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"


@chromium
def test_tags_are_coloured_with_a_legend(predict, site):
    browser = predict("tags", "the dog barks the cat")
    assert site.bodies[-1] == {"row": {"words": ["the", "dog", "barks", "the", "cat"]}, "scores": True}
    assert text_of(browser, ".tagged .name") == ["DET", "NOUN", "VERB", "DET", "NOUN"]
    assert text_of(browser, ".legend li") == ["DET (2)", "NOUN (2)", "VERB (1)"]
    colours = browser.evaluate(
        "[...document.querySelectorAll('.tag')].map((tag) => getComputedStyle(tag).backgroundColor)"
    )
    assert colours[0] == colours[3]
    assert len(set(colours)) == 3
    assert browser.evaluate("document.querySelector('.tag').title") == "DET 90.0 %"
    cells = browser.evaluate("[...document.querySelectorAll('td')].map((cell) => cell.textContent)")
    assert cells[3:6] == ["dog", "NOUN", "0.7"]


@chromium
def test_spans_are_boxed(predict):
    browser = predict("spans", "Ada Lovelace lived in London then")
    assert [" ".join(each.split()) for each in text_of(browser, ".box")] == ["Ada Lovelace person", "London place"]
    assert text_of(browser, ".legend li") == ["person (1)", "place (1)"]
    assert [each.strip() for each in text_of(browser, ".plain")] == ["lived", "in", "then"]


@chromium
def test_characters_keep_their_blanks(predict, site):
    text = "def f\n\td  🙂"
    browser = predict("characters", text)
    assert site.bodies[-1]["row"] == {"words": text}
    assert browser.evaluate("document.querySelector('.tagged').textContent") == text
    assert browser.evaluate("document.querySelectorAll('.tagged .tag').length") == 7  # runs of one label


@chromium
def test_probabilities_are_bars(predict):
    browser = predict("classes", "some text")
    assert text_of(browser, ".answer") == ["emotion 2"]
    first = text_of(browser, ".bars li")[0].split("\n")
    assert (first[0], first[-1]) == ("emotion 2", "60.0 %")
    widths = browser.evaluate(
        "[...document.querySelectorAll('.fill')].map((bar) => bar.getBoundingClientRect().width)"
    )
    assert widths[0] > 10 * widths[1] > 0
    assert text_of(browser, "details summary")[0] == "3 more"


@chromium
def test_a_series_is_plotted_with_its_prediction(predict, site):
    browser = predict("series", "1 2\n3, 4\n5 6\n")
    assert site.bodies[-1] == {"row": {"channels": [[1, 2], [3, 4], [5, 6]]}, "scores": False}
    assert browser.evaluate(
        "[...document.querySelectorAll('svg')].map((svg) => svg.querySelectorAll('path.line').length)"
    ) == [2, 0]
    assert browser.evaluate("document.querySelectorAll('path.predicted').length") == 1
    assert browser.names("image") == ["channels: 3 steps", "rul: 3 steps, the last 98"]
    predict("series", "[[1, 2], [3, 4]]")
    assert site.bodies[-1]["row"] == {"channels": [[1, 2], [3, 4]]}


@chromium
def test_a_forecast_continues_its_series(predict):
    browser = predict("forecast", "1 2\n3 4")
    assert browser.evaluate("document.querySelectorAll('path.ahead').length") == 2
    assert browser.names("image") == ["channels: 2 steps and 3 predicted ones"]


@chromium
def test_values_of_characters(predict):
    browser = predict("language", "hello")
    assert browser.evaluate("document.querySelectorAll('.tagged .tag').length") == 5
    assert text_of(browser, ".answer") == ["1", "7.5"]


@chromium
def test_errors_are_shown_and_announced(predict, site):
    browser = predict("refused", "a")
    assert text_of(browser, "#error") == ["row 0: there are no words; leave the row out"]
    assert browser.evaluate("document.querySelector('#error').getAttribute('role')") == "alert"
    assert browser.evaluate("document.querySelector('textarea').getAttribute('aria-invalid')") == "true"
    sent = len(site.bodies)
    browser = predict("series", "1 2\n3 x")
    assert text_of(browser, "#error") == ["channels, line 2: “x” is no number"]
    assert len(site.bodies) == sent


@chromium
def test_text_never_becomes_markup(predict, site):
    browser = predict("hostile", HOSTILE)
    assert site.bodies[-1]["row"] == {HOSTILE: HOSTILE.split()}
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    assert browser.evaluate("document.title") == "Tagger · seqkit"
    assert HOSTILE.split()[0] in browser.evaluate("document.querySelector('.tagged').innerText")


@chromium
def test_keyboard_and_names(site, browser):
    browser.open(f"{site.url}/pair/")
    assert browser.evaluate("document.activeElement.id") == "input-0"
    browser.type("one two")
    browser.press("Tab")
    browser.type("three")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Predict"
    browser.press("Enter")
    browser.wait("document.querySelector('#status').textContent")
    assert site.bodies[-1]["row"] == {"premise": ["one", "two"], "hypothesis": ["three"]}
    assert browser.evaluate("document.activeElement.textContent") == "Predict"  # the focus stays
    assert browser.names("textbox") == ["premise", "hypothesis"]
    assert browser.names("button") == ["Predict"]
    assert browser.names("status")
    hint = "document.getElementById(document.querySelector('textarea').getAttribute('aria-describedby'))"
    assert "separated by blanks" in browser.evaluate(f"{hint}.textContent")
    outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => parts(colour).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" && node.parentElement ? ground(node.parentElement) : colour;
  };
  return [...document.querySelectorAll("h1, p, label, button, summary, .tag, .name, .box, .legend li, .percent")]
    .filter((node) => node.textContent && node.offsetParent)
    .map((node) => {
      const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), `${node.tagName}.${node.className}`];
    }).sort((a, b) => a[0] - b[0])[0];
})()
"""


@chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_in_both_modes(predict, dark):
    browser = predict("tags", "the dog barks")
    browser.dark(dark)
    try:
        grounds = [browser.evaluate("getComputedStyle(document.body).backgroundColor")]
        worst = [browser.evaluate(CONTRAST)]
        predict("spans", "Ada Lovelace lived in London")
        worst.append(browser.evaluate(CONTRAST))
    finally:
        browser.dark(False)
    assert (grounds[0] == "rgb(255, 255, 255)") is not dark
    assert min(worst)[0] >= 4.5, worst  # WCAG AA


@chromium
def test_a_narrow_window_needs_no_scrolling_sideways(predict, browser):
    browser.resize(360, 700)
    try:
        for name in ("tags", "classes", "series"):
            predict(name, "1 2\n3 4")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        browser.resize(800, 700)
