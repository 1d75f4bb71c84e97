"""Every code block of every page in docs runs. The rules:

- ``python``: the blocks of a page are one program, which runs in an empty folder.
- ``yaml``: a whole config, or some of its sections, or options of a task, which the parser of ``fit`` must accept.
- ``sh``: what follows ``python -m seqkit`` is run if the files that it names are there. Otherwise its options must
  exist; `test_commands.py` has more. A ``python FILE.py`` is run if the page has saved the file.
- A ``python`` or ``yaml`` block is also saved as a file if its first line is a comment with the file's name, such
  as ``# train.py``, or if the sentence before it ends in "as `train.py`:". Such a ``yaml`` may be something other
  than a config if a later command reads it.
- ``py``: Python that needs a network or a server; it is compiled only.
- ``text``, ``console`` and blocks without a language are output. Directives, such as ``{code-block} python``, are
  not run here.
"""

import runpy
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from seqkit.cli import main
from tests.docs.pages import DEPRECATED, DOCS, README, Block, blocks, commands, fenced, name_of

RUN = ("python", "yaml", "sh", "py")
OUTPUT = ("", "text", "console")
NETWORK = ("docs/guide/share.md", "docs/guide/serve.md")  # pages with blocks of `py`
SECTIONS = {"model", "data", "trainer", "seed_everything", "ckpt_path", "predictions", "trust"}
WITH_CODE = [page for page in DOCS if any(block.language in RUN for block in blocks(page))]


@DEPRECATED
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_page(page, folder):
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.file and block.language in RUN:
            Path(block.file).write_text(block.code, encoding="utf-8")
        match block.language:
            case "python":
                exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
            case "py":
                assert name_of(page) in NETWORK, "a block of py is not run; write python"
                compile(block.code, str(page), "exec")
            case "yaml":
                parse(block, page)
            case "sh":
                run_commands(block)
    if name_of(page) == "docs/guide/tasks.md":
        first, second = names["texts"]
        assert first.startswith("to be")
        assert second.startswith("that is the")


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_languages(page):
    others = {block.language for block in blocks(page)} - {*RUN, *OUTPUT}
    assert not [language for language in others if not language.startswith("{")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The empty folder in which a page runs; modules that the page saves there can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def parse(block: Block, page: Path) -> None:
    """Let the parser of ``fit`` read a config, or the README's config with a page's sections or options."""
    given, (whole,) = yaml.safe_load(block.code), map(yaml.safe_load, fenced(README, "yaml"))
    if not given.keys() <= SECTIONS:
        if block.file:  # a command of the page reads it
            return
        given = {"model": {"init_args": given}}
    if "model" in given:  # all tasks take the embedding and the encoder of the README's
        given["model"].setdefault("class_path", whole["model"]["class_path"])
        whole["model"]["class_path"] = given["model"]["class_path"]
    config = given if given.keys() >= {"model", "data"} else merged(whole, given)
    path = Path("parsed.yaml")
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(path), "--print_config"])
    assert stopped.value.code == 0, f"{name_of(page)}, line {block.line + 1}: no config"


def merged(whole: dict, part: dict) -> dict:
    """Add the values of a part; a class of another path replaces the class."""
    if part.get("class_path", whole.get("class_path")) != whole.get("class_path"):
        return part
    both = {key: merged(whole[key], part[key]) for key in whole.keys() & part.keys() if mappings(whole, part, key)}
    return whole | part | both


def mappings(whole: dict, part: dict, key: str) -> bool:
    return isinstance(whole[key], dict) and isinstance(part[key], dict)


def run_commands(block: Block) -> None:
    """Run the commands whose files are in the page's folder."""
    for words in commands(block.code):
        if words[:3] == ["python", "-m", "seqkit"]:
            files = [value for option, value in pairwise(words) if option in ("--config", "--ckpt_path")]
            if files and all(Path(file).is_file() for file in files) and words[3] != "serve":
                main(words[3:])
        elif words[0] == "python" and Path(words[1]).is_file():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words[1:])
                runpy.run_path(words[1], run_name="__main__")
