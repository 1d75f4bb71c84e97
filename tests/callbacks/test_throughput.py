from functools import partial

import pytest

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import Throughput
from seqkit.nn import LSTM, Embedding


def test_counts_every_token_and_logs_speed_and_waste(splits, trainer):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    throughput = Throughput(every=2)
    run = trainer(max_epochs=2, callbacks=[throughput])
    run.fit(model, data)
    assert throughput.tokens == 2 * data.rows("train").lengths.sum()
    assert throughput.seconds > 0
    assert throughput.tokens_per_second == throughput.tokens / throughput.seconds
    assert run.logged_metrics["tokens/s"] > 0
    assert run.logged_metrics["sequences/s"] > 0
    assert 0 <= run.logged_metrics["waste"] < 0.5


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
