import sys

import pytest

import seqkit.serve
from seqkit.cli import main
from seqkit.cli.messages import message_of


@pytest.fixture
def served(monkeypatch):
    """The calls of `serve`, which starts nothing."""
    calls = []
    monkeypatch.setattr(seqkit.serve, "serve", lambda *arguments, **options: calls.append((arguments, options)))
    return calls


def test_options(served):
    main(["serve", "--ckpt_path", "best.ckpt", "--port", "8001", "--max_tokens=99", "--trust", "mine", "theirs"])
    ((arguments, options),) = served
    assert arguments == ("best.ckpt",)
    assert (options["host"], options["port"], options["max_tokens"]) == ("127.0.0.1", 8001, 99)
    assert options["trust"] == ["mine", "theirs"]


def test_defaults_are_those_of_the_function(monkeypatch, served):
    main(["serve", "--ckpt_path", "best.ckpt"])
    ((_, options),) = served
    monkeypatch.undo()
    defaults = seqkit.serve.serve.__kwdefaults__
    assert {name: tuple(value) if name == "trust" else value for name, value in options.items()} == defaults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--ckpt_path"),
        (["--ckpt_path", "best.ckpt", "--prot", "1"], r"serve has no option --prot; did you mean --port\?"),
        (["--ckpt_path", "best.ckpt", "--port", "x"], "argument --port: invalid int value: 'x'"),
    ],
)
def test_wrong_arguments(served, arguments, message):
    with pytest.raises(ValueError, match=message) as raised:
        main(["serve", *arguments])
    assert not served
    assert message_of(raised.value)


def test_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "--max_request_tokens" in printed
    assert "(default: 8000)" in printed


def test_without_litserve(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("seqkit.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(seqkit, "serve")
    monkeypatch.setitem(sys.modules, "litserve", None)
    with pytest.raises(ImportError, match=r"pip install 'seqkit-packed\[serve\]'") as raised:
        main(["serve", "--ckpt_path", "best.ckpt"])
    assert message_of(raised.value) == (
        "serve needs LitServe, and litserve is not installed: pip install 'seqkit-packed[serve]'"
    )
