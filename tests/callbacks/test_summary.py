from functools import partial

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import Summary, Throughput
from seqkit.nn import LSTM, Embedding


def test_prints_scores_and_speed(splits, trainer, capsys):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    trainer(max_epochs=1, callbacks=[Summary(), Throughput()]).fit(model, data)
    printed = capsys.readouterr().out
    assert "Tagger after 1 epoch(s)" in printed
    for name in ("val_accuracy", "val_loss", "tokens a second", "parameters"):
        assert name in printed
