"""The reference is complete: every public name, subcommand, task and config is on a page."""

import re
import sys
from importlib import import_module

import pytest

from seqkit.cli.subcommands import SUBCOMMANDS
from tests.docs.pages import ROOT, read

REFERENCE = ROOT / "docs" / "reference"
PACKAGES = [
    *("seqkit", "seqkit.callbacks", "seqkit.cli", "seqkit.data", "seqkit.decoding", "seqkit.export"),
    *("seqkit.kernels", "seqkit.labels", "seqkit.losses", "seqkit.metrics", "seqkit.nn", "seqkit.optim"),
    *("seqkit.packed", "seqkit.serve", "seqkit.tasks"),
]
PRIVATE = {"seqkit.upstream"}
BLOCK = re.compile(r"^```\{api\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRIES = [
    (block[1], name)
    for page in sorted(REFERENCE.rglob("*.md"))
    for block in BLOCK.finditer(read(page))
    for name in block[2].split()
]


@pytest.fixture(scope="module")
def options():
    """The module that writes the options of the command line on the pages."""
    sys.path.append(str(ROOT / "docs" / "_ext"))
    yield import_module("seqkit_options")
    sys.path.remove(str(ROOT / "docs" / "_ext"))


def test_all_packages_are_known():
    folders = {f"seqkit.{path.parent.name}" for path in (ROOT / "seqkit").glob("*/__init__.py")}
    assert {"seqkit", *folders} == {*PACKAGES, *PRIVATE}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_a_page(package):
    documented = [getattr(import_module(module), name) for module, name in ENTRIES]
    module = import_module(package)
    missing = [name for name in module.__all__ if not any(getattr(module, name) is each for each in documented)]
    assert not missing


def test_no_name_is_documented_twice():
    assert len(set(ENTRIES)) == len(ENTRIES)


def test_every_subcommand_is_on_the_page():
    headings = re.findall(r"^## (\w+)$", read(REFERENCE / "command_line.md"), re.MULTILINE)
    assert headings == list(SUBCOMMANDS)


def test_every_task_has_its_options():
    tasks = {name for module, name in ENTRIES if module == "seqkit"} & set(import_module("seqkit.tasks").__all__)
    headings = re.findall(r"^## (\w+)$", read(REFERENCE / "config_model.md"), re.MULTILINE)
    assert {*headings} == tasks - {"Task", "load"}


def test_every_config_is_shown():
    shown = re.findall(r"\.\./\.\./configs/(\w+\.yaml)$", read(REFERENCE / "shipped_configs.md"), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("words", ["fit", "serve", "predict --text -", "fit --model.help seqkit.Tagger"])
def test_options_are_read_from_the_help(options, words):
    found = options.read_options(words)
    listed = re.findall(r"^  (?:-\w(?: \w+)?, )?(--[\w.]+)", options.help_of(words), re.MULTILINE)
    assert [option.name for option in found] == [name for name in listed if not name.endswith(".help")]
    assert len(listed) > 3
    assert all("\n" not in option.text for option in found)
    assert not any("known subclasses" in option.text + option.kind for option in found)


def test_options_of_a_config_have_its_names(options):
    (block,) = options.BLOCK.finditer("```{options} fit\nonly data\n```\n")
    text = options.expanded(block)
    assert "`max_tokens`\n: " in text
    assert "--" not in text.partition("\n: ")[0]
