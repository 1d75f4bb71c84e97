import io
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch import Trainer
from rich.console import Console

import seqkit
from seqkit import SequenceDataModule, Tagger
from seqkit.data import PythonCode
from seqkit.nn import LSTM, Embedding

PATH = Path(__file__).parents[2] / "examples" / "highlight.py"


@pytest.fixture(scope="module")
def example(load):
    return load("highlight")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one run, whose model has hardly learned anything."""
    source = PythonCode([str(PATH.parent)], validation=0, test=0)
    data = SequenceDataModule(source, inputs="text", targets="kinds", max_tokens=4096)
    model = Tagger(data.spec, embedding=partial(Embedding, embedding_dim=4), encoder=partial(LSTM, hidden_size=8))
    trainer = Trainer(max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(model, data)
    folder = tmp_path_factory.mktemp("runs")
    trainer.save_checkpoint(folder / "version_0" / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def printed(example):
    def run(*arguments):
        console = Console(file=io.StringIO(), width=200, record=True)
        example.main([str(argument) for argument in arguments], console)
        return console.file.getvalue()

    return run


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n\n\ndef f(a):\n    return a  # ß\n",
        "fn main() { [bold]let x; }\n",
        "def (:\n" * 1000,
        "x" * 5001,
        "",
        "\n",
    ],
    ids=["python", "other", "broken", "one line", "empty", "blank"],
)
def test_text_is_not_changed(printed, tmp_path, runs, source):
    file = tmp_path / "file"
    file.write_text(source)
    assert printed(file, "--runs", runs).rstrip("\n") == source.rstrip("\n")


@pytest.mark.parametrize("source", ["def (:\n" * 1000, "x" * 5001, PATH.read_text()])
def test_pieces(example, source):
    spans = example.pieces(source)
    assert all(0 < end - first <= example.LONGEST for first, end in spans)
    outside = list(source)
    for first, end in reversed(spans):
        del outside[first:end]
    assert not "".join(outside).strip()


def test_every_kind_has_a_style(example, runs):
    model = seqkit.load(example.newest_checkpoint(runs))
    assert set(example.STYLES) == set(model.target["names"])


def test_colours(example):
    found = ["keyword"] * 2 + ["whitespace"] + ["name"] * 8
    model = SimpleNamespace(target_column="kinds", predict=lambda texts: [{"kinds": found} for _ in texts])
    text = example.highlight(model, "if x:\n    y\n")
    assert [(span.start, span.end, span.style) for span in text.spans] == [(0, 2, "bold magenta")]


def test_pieces_are_coloured_at_their_places(example, runs):
    model = seqkit.load(example.newest_checkpoint(runs))
    source = "a = 1\n\n\ndef function():\n    pass\n"
    text = example.highlight(model, source)
    for first, end in example.pieces(source):
        alone = example.highlight(model, source[first:end])
        moved = [(span.start + first, span.end + first, span.style) for span in alone.spans]
        assert moved == [tuple(span) for span in text.spans if first <= span.start < end]


def test_picture(printed, tmp_path, runs):
    printed(PATH, "--runs", runs, "--picture", tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text().startswith("<svg")


def test_no_checkpoint(printed, tmp_path, capsys):
    with pytest.raises(SystemExit):
        printed(PATH, "--runs", tmp_path / "none")
    error = " ".join(capsys.readouterr().err.split())
    assert "no version_*/checkpoints/best.ckpt in" in error
    assert "python -m seqkit fit --config configs/highlight.yaml" in error
