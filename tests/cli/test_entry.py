import re
import subprocess
import sys

import pytest

import seqkit
from seqkit.cli import SequenceCLI, main
from seqkit.cli.subcommands import SUBCOMMANDS

pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)

# In a process of its own, because this one has imported them.
LIGHT = """
import contextlib, io, runpy, sys

def run(*arguments):
    sys.argv[1:] = arguments
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            runpy.run_module("seqkit", run_name="__main__", alter_sys=True)
        except SystemExit as exit_:
            return exit_.code, out.getvalue(), errors.getvalue()

import seqkit
status, help_, errors = run("--help")
assert (status, errors) == (0, "") and help_.startswith("usage: python -m seqkit SUBCOMMAND"), (help_, errors)
assert run("-h") == (0, help_, "")
assert run() == (2, "", help_), "without arguments, the help"
status, version, errors = run("--version")
assert (status, errors) == (0, "") and version.startswith(f"seqkit {seqkit.__version__} (Python 3."), version
assert run("find-lr", "-c", "x") == (2, "", "error: there is no subcommand 'find-lr'; did you mean find_lr?\\n")
status, out, errors = run("train")
assert (status, out) == (2, "") and "give one of fit, validate, " in errors and errors.count("\\n") == 1, errors
status, out, errors = run("--config", "x", "test")
assert status == 2 and errors == "error: the subcommand comes first: python -m seqkit test --config x\\n", errors
assert {"LengthBucketSampler", "Tagger"} <= set(dir(seqkit))
heavy = {"torch", "numpy", "lightning", "datasets", "jsonargparse", "torchmetrics", "rich", "yaml", "pandas"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""


def test_help_version_and_misspelt_subcommands_are_answered_without_torch_and_lightning():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


def test_help_names_every_subcommand_of_the_parser(capsys):
    with pytest.raises(SystemExit):
        SequenceCLI(["--help"])
    names = re.search(r"\{(fit,[\w,]+)\}", capsys.readouterr().out)[1].split(",")
    assert list(SUBCOMMANDS) == [*names, "sweep", "export", "share", "serve", "doctor"]
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    for name in SUBCOMMANDS:
        assert len(re.findall(rf"^  {name} +\w.{{10,}}$", printed, re.MULTILINE)) == 1
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize("name", ["fit", "find_lr", "sweep", "export", "serve"])
def test_help_of_a_subcommand_says_how_to_call_it(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert not exit_.value.code
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m seqkit {name} [-")
    own = {"sweep": "--seeds", "export": "--output", "serve": "--port"}
    assert own.get(name, "--trainer.max_epochs") in printed


def test_only_the_parser_of_the_given_subcommand_is_built(monkeypatch):
    """Those of all subcommands take a second or more."""
    built, init = [], SequenceCLI.init_parser
    monkeypatch.setattr(
        SequenceCLI, "init_parser", lambda cli, **kwargs: built.append(init(cli, **kwargs)) or built[-1]
    )
    with pytest.raises(SystemExit):
        main(["test", "--help"])
    assert [parser.prog for parser in built] == ["python -m seqkit", "python -m seqkit test"]


def test_the_public_names_are_found():
    assert set(seqkit.__all__) <= set(dir(seqkit))
    names = {}
    exec("from seqkit import *\nfrom seqkit.cli import *", names)
    assert {*seqkit.__all__, "SequenceCLI", "find_lr", "find_max_tokens", "main"} <= names.keys()
    with pytest.raises(AttributeError, match="module 'seqkit' has no attribute 'Taggr'"):
        seqkit.Taggr  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'seqkit.cli' has no attribute 'find'; it has SequenceCLI"):
        seqkit.cli.find  # noqa: B018
