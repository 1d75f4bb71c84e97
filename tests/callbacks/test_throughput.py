from functools import partial
from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import Callback

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import Throughput
from seqkit.nn import LSTM, Embedding


class Clock(Callback):
    """Stands for the clock: a training batch takes 2 s and a validation batch 100 s; records the lengths seen."""

    def __init__(self):
        self.now, self.epochs = 0.0, []

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.now += 2
        self.epochs[-1].append(trainer.datamodule.rows("train").lengths[batch.rows.numpy()])

    def on_validation_batch_start(self, *_):
        self.now += 100


def test_counts_every_token_and_logs_speed_and_waste(splits, trainer, monkeypatch):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    throughput, clock = Throughput(every=2), Clock()
    monkeypatch.setattr("seqkit.callbacks.throughput.time", SimpleNamespace(perf_counter=lambda: clock.now))
    run = trainer(max_epochs=2, callbacks=[clock, throughput], val_check_interval=3)
    run.fit(model, data)
    assert throughput.tokens == 2 * data.rows("train").lengths.sum()
    assert throughput.seconds == 2 * sum(map(len, clock.epochs))
    assert throughput.tokens_per_second == throughput.tokens / throughput.seconds
    last = len(clock.epochs[-1]) // 2 * 2
    window = clock.epochs[-1][last - 2 : last]
    tokens = sum(lengths.sum() for lengths in window)
    assert run.logged_metrics["tokens/s"] == pytest.approx(tokens / 4)
    assert run.logged_metrics["sequences/s"] == pytest.approx(sum(map(len, window)) / 4)
    padded = sum(lengths.max() * len(lengths) for lengths in window)
    assert run.logged_metrics["waste"] == pytest.approx(1 - tokens / padded, abs=1e-6)
    assert run.logged_metrics["waste"] > 0


def test_an_epoch_that_is_resumed_is_measured_from_its_first_batch(splits, trainer, monkeypatch, tmp_path):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    run = trainer(max_steps=2)
    run.fit(Tagger(data.spec, **parts), data)
    run.save_checkpoint(tmp_path / "middle.ckpt")

    clock, throughput = Clock(), Throughput(every=1)
    clock.epochs.append([])  # no epoch begins
    monkeypatch.setattr("seqkit.callbacks.throughput.time", SimpleNamespace(perf_counter=lambda: clock.now))
    run = trainer(max_steps=4, callbacks=[clock, throughput])
    run.fit(Tagger(data.spec, **parts), data, ckpt_path=tmp_path / "middle.ckpt", weights_only=True)
    assert [len(epoch) for epoch in clock.epochs] == [2]
    assert throughput.seconds == 4
    assert throughput.tokens == sum(lengths.sum() for lengths in clock.epochs[0])
    assert run.logged_metrics["tokens/s"] == pytest.approx(clock.epochs[0][-1].sum() / 2)


def test_a_resumed_fit_continues_the_counts(splits, trainer, tmp_path):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    first, second = Throughput(every=2), Throughput(every=2)
    run = trainer(max_steps=3, limit_val_batches=0, callbacks=[first])
    run.fit(Tagger(data.spec, **parts), data)
    run.save_checkpoint(tmp_path / "middle.ckpt")
    resume = {"ckpt_path": tmp_path / "middle.ckpt", "weights_only": True}
    run = trainer(max_epochs=1, limit_val_batches=0, callbacks=[second])
    run.fit(Tagger(data.spec, **parts), data, **resume)
    assert second.tokens == data.rows("train").lengths.sum() > first.tokens > 0
    assert second.seconds > first.seconds > 0
    before = second.tokens
    run.test(Tagger(data.spec, **parts), data, **resume, verbose=False)
    assert second.tokens == before


def test_a_new_fit_resets_the_counters(splits, trainer):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    throughput = Throughput()
    for _ in range(2):
        model = Tagger(
            data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4)
        )
        trainer(max_epochs=1, callbacks=[throughput]).fit(model, data)
        assert throughput.tokens == data.rows("train").lengths.sum()


def test_a_window_needs_a_batch():
    with pytest.raises(ValueError, match="every=0; give a number of steps of at least 1"):
        Throughput(every=0)
