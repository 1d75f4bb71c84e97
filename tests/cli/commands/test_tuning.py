from functools import partial
from pathlib import Path

import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.cli import find_max_tokens, main
from seqkit.cli.commands import tuning
from seqkit.data import Continuous
from seqkit.nn import LSTM, Embedding
from seqkit.optim import WarmupCosine
from tests.cli.cases import small_tagger, weights

pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


build = partial(small_tagger, optimizer=partial(torch.optim.SGD, lr=0.1))


def test_doubles_the_budget_until_a_batch_holds_all_rows(splits, trainer):
    model, data = build(splits, lr_scheduler=partial(WarmupCosine, warmup=500))
    before = weights(model)
    found = find_max_tokens(trainer(), model, data)
    tokens = sum(map(len, splits["train"]["words"]))
    assert [row["max_tokens"] for row in found] == [32 * 2**i for i in range(len(found))]
    assert found[-1]["tokens"] == tokens <= found[-1]["max_tokens"]
    assert found[-2]["tokens"] < tokens
    for row in found:
        assert row["fits"]
        assert row["tokens"] <= row["max_tokens"]
        assert row["tokens/s"] == pytest.approx(row["tokens"] / row["seconds"])
    assert torch.equal(weights(model), before)
    assert (data.max_tokens, data.longest_first) == (32, False)


def test_tries_each_budget_on_its_heaviest_batch(splits, trainer):
    model, data = build(splits)
    found = find_max_tokens(trainer(), model, data, most=64)
    for row in found:
        trial = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=row["max_tokens"])
        rows = trial.rows("train")
        sampler = trial.sampler(rows, training=True)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            assert all(len(rows[batch].inputs["words"].data) <= row["tokens"] for batch in sampler)


def test_stops_where_memory_or_time_runs_out(splits, trainer, monkeypatch):
    model, data = build(splits)
    assert [row["fits"] for row in find_max_tokens(trainer(), model, data, seconds=0.0)] == [False]

    def starve(self, batch, stage):
        if len(batch.inputs["words"].data) > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return Tagger.step(self, batch, stage)

    class Starving(Tagger):
        step = starve

    starving = Starving(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4)
    )
    found = find_max_tokens(trainer(), starving, data)
    assert [(row["max_tokens"], row["fits"]) for row in found] == [(32, True), (64, True), (128, False)]
    assert found[-1]["seconds"] is None


@pytest.mark.parametrize("allocate", [lambda: torch.empty(10**15), lambda: bytearray(10**15)])
def test_a_cpu_without_memory_is_found(allocate, splits, trainer, monkeypatch):
    model, data = build(splits)
    monkeypatch.setattr(model, "compute_loss", lambda *_: allocate())
    assert tuning._try_batch(trainer(), model, data.rows("train")[[0, 1]])["seconds"] is None


@pytest.mark.parametrize(
    "message", ["mat1 and mat2 shapes cannot be multiplied", "the memory of the attention has 3 steps, not 4"]
)
def test_other_errors_are_raised(message, splits, trainer, monkeypatch):
    model, data = build(splits)

    def fail(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(model, "compute_loss", fail)
    with pytest.raises(RuntimeError, match=message):
        tuning._try_batch(trainer(), model, data.rows("train")[[0, 1]])


def test_a_budget_of_sequences_only_is_refused(splits, trainer):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_sequences=8)
    with pytest.raises(ValueError, match=r"find_max_tokens doubles the token budget, but .* give data.max_tokens"):
        find_max_tokens(trainer(), build(splits)[0], data)


@pytest.mark.usefixtures("folder")
def test_on_the_command_line(capsys):
    config = Path("config.yaml").read_text()
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    main(["find_max_tokens", "--config", "config.yaml", "--most", "128", *quiet])
    printed = capsys.readouterr().out
    assert "max_tokens" in printed
    assert "128" in printed
    assert not Path("runs").exists()
    assert Path("config.yaml").read_text() == config


def test_budgets_of_continuous_text_and_of_streams_are_refused(splits, trainer):
    model, _ = build(splits)
    words = {"inputs": "words"}
    text = SequenceDataModule(splits, **words, continuous=Continuous(batch_size=2, bptt=4))
    with pytest.raises(ValueError, match="continuous text has none: its batches hold batch_size x bptt tokens"):
        find_max_tokens(trainer(), model, text)
    stream = SequenceDataModule(splits, **words, max_tokens=32, streaming=True)
    with pytest.raises(
        ValueError, match="which is unknown for a stream; try it on a part of the rows with streaming"
    ):
        find_max_tokens(trainer(), model, stream)
