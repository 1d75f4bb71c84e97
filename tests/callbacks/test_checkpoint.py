from functools import partial

from seqkit import Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint
from seqkit.nn import LSTM, Embedding


def fit(task, target, splits, trainer, folder):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32, validation_fraction=0)
    model = task(data.spec, partial(LSTM, hidden_size=4), partial(Embedding, embedding_dim=4))
    checkpoint = BestCheckpoint(dirpath=str(folder))
    trainer(max_epochs=2, enable_checkpointing=True, callbacks=[checkpoint]).fit(model, data)
    return checkpoint


def test_watches_what_the_task_says(splits, trainer, tmp_path):
    tagger = fit(Tagger, "tags", splits, trainer, tmp_path / "a")
    regressor = fit(Regressor, "value", splits, trainer, tmp_path / "b")
    assert (tagger.monitor, tagger.mode) == ("val_accuracy", "max")
    assert (regressor.monitor, regressor.mode) == ("val_rmse", "min")
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert tagger.best_model_score is not None
