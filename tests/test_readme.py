"""The README and the pages in docs: their code runs, their commands are accepted, their links lead somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

from seqkit.cli import main
from tests import processes

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

# Lightning and the CLI call functions that the pinned jsonargparse deprecates.
DEPRECATED = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


def fenced(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page. Empty lines before a block keep its line numbers, for error messages."""
    text = page.read_text(encoding="utf-8")
    blocks = re.finditer(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, block.start(1)) + block[1] for block in blocks]


def run(page: Path, scripts: list[str]) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "page"}
    for script in scripts:
        exec(compile(script, str(page), "exec"), names)
    return names


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's shell blocks, as words; a backslash continues a line."""
    lines = "\n".join(fenced(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines for part in line.split(" && ") if (words := shlex.split(part, comments=True))]


def calls(start: list[str]) -> list[list[str]]:
    """What follows ``start`` in the commands of all pages."""
    found = [words for page in PAGES for words in commands(page) if words[: len(start)] == start]
    return [words[len(start) :] for words in found]


def name_of(words: list[str]) -> str:
    return " ".join(words)[:70]


# Python


def test_ten_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines, prediction = fenced(README, "python")[:2]
    assert "trainer.test" in lines
    names = run(README, [lines])
    assert float(names["trainer"].logged_metrics["test_accuracy"]) > 0.9
    call, _, expected = prediction.strip().partition("  # ")
    assert eval(call, names) == ast.literal_eval(expected)


PARTS = fenced(README, "python")[2:]


@pytest.mark.parametrize("script", PARTS, ids=["batches", "layers"])
def test_parts_alone(script):
    run(README, [script])


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if fenced(page, "python")], ids=lambda page: page.stem)
def test_python_of_a_page(page, tmp_path, monkeypatch):
    """The blocks of a page in docs are one program."""
    monkeypatch.chdir(tmp_path)
    names = run(page, fenced(page, "python"))
    if page.stem == "tasks":
        first, second = names["texts"]
        assert first.startswith("to be")
        assert second.startswith("that is the")
        assert float(names["trainer"].callback_metrics["val_mae"]) < 0.3


# Commands

PLACEHOLDERS = {"CONFIG": "tagger.yaml", "CHECKPOINT": "checkpoints/best.ckpt", "FILE": "rows.parquet"}
SEQKIT = calls(["python", "-m", "seqkit"])
GENERIC = [words for words in SEQKIT if PLACEHOLDERS.keys() & set(words)]
SHIPPED = [words for words in SEQKIT if any(word.startswith("configs/") for word in words)]


@pytest.fixture
def tagger(tmp_path, monkeypatch):
    """The README's config and its rows, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (config,) = fenced(README, "yaml")
    Path("tagger.yaml").write_text(config)
    rows = {"words": [["the", "cat", "sat"], ["cats", "sit"]] * 300}
    rows["tags"] = [["DET", "NOUN", "VERB"], ["NOUN", "VERB"]] * 300
    Dataset.from_dict(rows).to_parquet("rows.parquet")
    return yaml.safe_load(config)


@DEPRECATED
def test_yaml(tagger):
    assert set(tagger) == {"model", "data", "trainer"}
    assert ["fit", "--config", "tagger.yaml"] in SEQKIT
    cli = main(["fit", "--config", "tagger.yaml", "--trainer.enable_progress_bar", "false"])
    assert float(cli.trainer.callback_metrics["val_accuracy"]) > 0.9


@DEPRECATED
@pytest.mark.slow
@pytest.mark.usefixtures("tagger")
def test_generic_commands():
    short = ["--trainer.max_epochs", "1"]
    cli = main(["fit", "--config", "tagger.yaml", *short])
    filled = [[PLACEHOLDERS.get(word, word) for word in words] for words in GENERIC]
    checkpoint = cli.trainer.checkpoint_callback.best_model_path
    verbs = set()
    for words in filled:
        verbs.add(words[0])
        words = [checkpoint if word == PLACEHOLDERS["CHECKPOINT"] else word for word in words]
        if words[0] in ("fit", "sweep"):
            epochs = ["--trainer.max_epochs", "2"] if checkpoint in words else short
            words += ["--print_config"] if "--trainer.devices" in words or "--print_config" in words else epochs
        processes.run("-m", "seqkit", *words)
    assert verbs == {
        "fit",
        "validate",
        "test",
        "predict",
        "inspect",
        "sweep",
        "find_lr",
        "find_max_tokens",
        "export",
        "share",
    }
    assert Path("out.jsonl").read_text().count("\n") == 60
    assert Path("lengths.png").is_file()


@DEPRECATED
@pytest.mark.parametrize("words", SHIPPED, ids=name_of)
def test_commands_with_shipped_configs_are_accepted(words, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    if words[0] == "sweep":  # its options are those of fit and a few of its own
        words = ["fit", *(word for word in words[1:] if word not in ("--test", "--output", "quality.json"))]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--print_config"])
    assert stopped.value.code == 0, capsys.readouterr().err
    config = yaml.safe_load(capsys.readouterr().out)
    for option, value in zip(words[3::2], words[4::2], strict=True):
        found = config
        for key in option.removeprefix("--").split("."):
            found = found[key]
        assert found == value


def test_every_config_has_its_command():
    used = {word for words in SHIPPED for word in words}
    missing = [path.name for path in (ROOT / "configs").glob("*.yaml") if f"configs/{path.name}" not in used]
    assert not missing


SCRIPTS = [words for words in calls(["python"]) if words[0].endswith(".py")]


@pytest.mark.parametrize("words", SCRIPTS, ids=name_of)
def test_options_of_scripts_exist(words):
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    if "from measuring import" in source:  # the options that benchmarks share
        source += (ROOT / "examples" / "benchmarks" / "measuring.py").read_text(encoding="utf-8")
    options = [word for word in words if word.startswith("--") and not word.startswith("--data.")]
    missing = [option for option in options if f'"{option}"' not in source and words[0] != "setup.py"]
    assert not missing


# Files and links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_named_exist(page):
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"\b(?:configs|examples|docs|seqkit|tests)/[\w/]+\.\w+", text)
    assert not [name for name in names if not (ROOT / name).is_file()]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_links(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert README.read_text(encoding="utf-8").count("\n") <= 205
