"""The commands in the README and on the pages: their options exist, and those of seqkit do what the page says."""

import contextlib
import functools
import io
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from seqkit.cli import main
from seqkit.cli.subcommands import SUBCOMMANDS
from tests import processes
from tests.docs.pages import (
    DEPRECATED,
    PAGES,
    README,
    ROOT,
    blocks,
    calls,
    commands,
    fenced,
    name_of,
    write_readme_files,
)

PLACEHOLDERS = {"CONFIG": "tagger.yaml", "CHECKPOINT": "checkpoints/best.ckpt", "FILE": "rows.parquet"}
SEQKIT = calls(["python", "-m", "seqkit"])
GENERIC = [[*words] for words in dict.fromkeys(map(tuple, SEQKIT)) if PLACEHOLDERS.keys() & set(words)]
SHIPPED = [words for words in SEQKIT if any(word.startswith("configs/") for word in words)]
SCRIPTS = [words for words in calls(["python"]) if words[0].endswith(".py")]
TOOLS = {"pip", "pytest", "ruff", "mypy", "mutmut", "curl", "cat", "torchrun", "hf", "docker"}


def title(words):
    return " ".join(words)[:70]


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "sh")], ids=name_of)
def test_every_command_is_known(page):
    """A command is seqkit's, a script or a tool; the options and extras that it names exist."""
    for code in fenced(page, "sh"):
        for words in commands(code):
            if words[:3] == ["python", "-m", "seqkit"]:
                check_options(words[3:])
            elif words[:2] == ["python", "-m"]:
                assert words[2] in {"sphinx", "build", "tests.device.waits", "pip"}, f"cannot check {words}"
            elif words[0] == "pip":
                check_extras(words)
            elif words[0] == "python":
                saved = {block.file for block in blocks(page)}
                assert words[1] in saved or (ROOT / words[1]).is_file(), f"there is no {words[1]}"
            else:
                assert words[0] in TOOLS, f"cannot check {words}"


def check_options(words):
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version")
        return
    assert words[0] in SUBCOMMANDS
    known = options_of("predict --text -" if "--text" in words else words[0])
    if words[0] == "sweep":
        known = known | options_of("fit")
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    starts = [{".".join(each.split(".")[: n + 1]) for n in range(each.count(".") + 1)} for each in given]
    missing = [each for each, start in zip(given, starts, strict=True) if not start & known]
    assert not missing, f"{words[0]} has no option {missing}"


@functools.cache
def options_of(subcommand):
    """The options that a subcommand's help lists."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        main([*subcommand.split(), "--help"])
    return set(re.findall(r"^  (?:-\w, |-\w \w+, )?(--[\w.]+)", printed.getvalue(), re.MULTILINE)) | {"--help"}


def check_extras(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for word in words for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")}
    assert named <= extras.keys()


@DEPRECATED
@pytest.mark.slow
def test_generic_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_readme_files(tmp_path)
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
    assert verbs >= {
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
@pytest.mark.parametrize("words", SHIPPED, ids=title)
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


def test_the_readme_trains_its_config():
    assert ["fit", "--config", "tagger.yaml"] in calls(["python", "-m", "seqkit"], [README])


@pytest.mark.parametrize("words", SCRIPTS, ids=title)
def test_options_of_scripts_exist(words):
    if not (ROOT / words[0]).is_file():  # a page saves it and runs it
        return
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    if "from measuring import" in source:  # the options that benchmarks share
        source += (ROOT / "examples" / "benchmarks" / "measuring.py").read_text(encoding="utf-8")
    options = [word for word in words if word.startswith("--") and not word.startswith("--data.")]
    missing = [option for option in options if f'"{option}"' not in source and words[0] != "setup.py"]
    assert not missing
