"""The pages for users of other libraries: their code runs where they are installed, and ours agrees with it."""

import ast
import random
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset

from seqkit.cli import main
from seqkit.data import PackCollate
from seqkit.nn import LSTM
from seqkit.packed import pack, to_padded
from tests.docs.pages import DEPRECATED, fenced

FOLDER = Path(__file__).parents[2] / "docs" / "coming_from"
PAGES = [page for page in sorted(FOLDER.glob("*.md")) if page.stem != "index"]


def blocks(page, language):
    return fenced(FOLDER / f"{page}.md", language)


def run(names, *scripts):
    for script in scripts:
        exec(compile(script, "page", "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_all_its_parts(page):
    text = page.read_text(encoding="utf-8")
    for part in ("{container} theirs", "{container} ours", "## Theirs and ours", "## What is different"):
        assert part in text
    assert "## What seqkit does not have" in text
    for script in blocks(page.stem, "{code-block} python"):
        ast.parse(script)
    wide = [
        line for block in re.findall(r"\n:::\{container\}.*?\n:::\n", text, re.DOTALL) for line in block.split("\n")
    ]
    assert max(map(len, wide)) <= 66  # half a screen


@pytest.fixture
def torchnlp(monkeypatch):
    """PyTorch-NLP, whose last release uses a module and a constructor's argument that torch has removed."""
    pytest.importorskip("torchnlp")
    monkeypatch.setattr(torch.utils.data.Sampler, "__init__", lambda *_: None)
    removed = types.SimpleNamespace(int_classes=int, string_classes=str)
    monkeypatch.setitem(sys.modules, "torch._six", removed)
    return pytest.importorskip("torchnlp.samplers")


@pytest.mark.filterwarnings("default")  # warnings of PyTorch-NLP
@pytest.mark.usefixtures("torchnlp")
def test_pytorch_nlp_gives_the_same_packed_batches():
    rows, *_ = blocks("pytorch_nlp", "python")
    (theirs,) = blocks("pytorch_nlp", "{code-block} python")
    names = run({}, rows, theirs)
    dataset, collate = names["dataset"], PackCollate("words")
    seen = []
    for batch in names["sampler"]:
        ours = collate([dataset[row] for row in batch]).inputs["words"]
        padded, counts = names["stack_and_pad_tensors"]([names["words"][row] for row in batch])
        packed = torch.nn.utils.rnn.pack_padded_sequence(padded, counts, batch_first=True, enforce_sorted=False)
        assert packed.batch_sizes.equal(ours.batch_sizes)
        assert len(packed.data) == len(ours.data)
        assert packed.data.sort().values.equal(ours.data.sort().values)
        seen += batch
    assert sorted(seen) == list(range(len(dataset)))


@pytest.fixture
def random_state():
    """Restore the random states that the Trainer of transformers sets."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


@pytest.mark.usefixtures("random_state")
@pytest.mark.filterwarnings("default")  # warnings of transformers
def test_their_trainer_of_transformers_groups_by_length(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (theirs,) = blocks("group_by_length", "{code-block} python")
    names = run({"__name__": "page"}, theirs)
    assert names["trainer"].state.global_step == 8
    lengths = [counts["lengths"].tolist() for counts in names["trainer"].get_train_dataloader()]
    assert sum(max(batch) for batch in lengths) < 8 * 7  # in random batches of 8 nearly all have a row of 7


@DEPRECATED
def test_the_config_for_users_of_allennlp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (config,) = blocks("allennlp", "yaml")
    Path("tagger.yaml").write_text(config, "utf-8")
    rows = Dataset.from_dict({"words": [["the", "cat"], ["cats"]] * 20, "tags": [["DET", "NOUN"], ["NOUN"]] * 20})
    for name in ("train", "dev"):
        rows.to_json(f"{name}.jsonl")
    assert yaml.safe_load(config)["trainer"]["max_epochs"] == 10
    short = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    cli = main(["fit", "--config", "tagger.yaml", *short])
    assert cli.trainer.callback_metrics["val_accuracy"] > 0


def keras_lstm(inputs, weights):
    """Compute keras.layers.LSTM on one sequence (T, I), as LSTMCell in keras/src/layers/rnn/lstm.py does."""
    kernel, recurrent, bias = weights
    hidden = cell = np.zeros(len(recurrent))
    outputs = []
    for token in inputs:
        i, f, c, o = np.split(token @ kernel + hidden @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(c)
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


def test_weights_of_keras_give_the_outputs_of_keras():
    (copy,) = (script for script in blocks("keras", "python") if "def load_keras_lstm" in script)
    load = run({"torch": torch}, copy)["load_keras_lstm"]
    draw = np.random.default_rng(0)
    weights = [draw.normal(size=shape) for _ in range(2) for shape in ((8, 64), (16, 64), (64,))]
    rows = [draw.normal(size=(length, 8)) for length in (3, 5, 1)]
    lstm = LSTM(8, 16, bidirectional=True, dtype=torch.float64)
    load(lstm, weights)
    outputs = to_padded(lstm(pack([torch.tensor(row) for row in rows]))[0]).detach().numpy()
    for row, output in zip(rows, outputs, strict=True):
        forward, backward = keras_lstm(row, weights[:3]), keras_lstm(row[::-1], weights[3:])[::-1]
        np.testing.assert_allclose(
            output[: len(row)], np.concatenate([forward, backward], 1), rtol=1e-9, atol=1e-12
        )


@pytest.mark.filterwarnings("default")  # warnings of Keras
def test_a_model_of_keras_continues_here(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    rows, *rest = blocks("keras", "python")
    (theirs,) = blocks("keras", "{code-block} python")
    names = run({}, rows, theirs)
    load = run({"torch": torch}, *(script for script in rest if "def load_keras_lstm" in script))["load_keras_lstm"]
    embedding, layer, _ = names["model"].layers
    lstm = LSTM(8, 16, bidirectional=True)
    load(lstm, layer.get_weights())
    padded = names["pad"](names["words"], padding="post")
    expected = layer(embedding(padded)).detach()
    vectors = torch.as_tensor(embedding.get_weights()[0])
    ours = to_padded(lstm(pack([vectors[row] for row in names["words"]]))[0])
    for row, words in enumerate(names["words"]):
        torch.testing.assert_close(ours[row, : len(words)], expected[row, : len(words)], rtol=1e-4, atol=1e-5)
