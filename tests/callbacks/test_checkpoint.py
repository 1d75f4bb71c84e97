from functools import partial

import torch
from lightning.pytorch.callbacks import Callback

from seqkit import Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint
from seqkit.nn import LSTM, Embedding


def fit(task, target, splits, trainer, folder):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32, validation_fraction=0)
    model = task(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    checkpoint = BestCheckpoint(dirpath=str(folder))
    trainer(max_epochs=2, enable_checkpointing=True, callbacks=[checkpoint]).fit(model, data)
    return checkpoint


def test_watches_the_monitor_of_the_task(splits, trainer, tmp_path):
    tagger = fit(Tagger, "tags", splits, trainer, tmp_path / "a")
    regressor = fit(Regressor, "value", splits, trainer, tmp_path / "b")
    assert (tagger.monitor, tagger.mode) == ("val_accuracy", "max")
    assert (regressor.monitor, regressor.mode) == ("val_rmse", "min")
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert tagger.best_model_score is not None


class SameScore(Callback):
    """Gives every epoch the same score."""

    def on_validation_end(self, trainer, pl_module):
        trainer.callback_metrics["val_accuracy"] = torch.tensor(0.5)


def test_of_equal_epochs_the_last_is_kept(splits, trainer, tmp_path):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    best = BestCheckpoint(dirpath=str(tmp_path))
    trainer(max_epochs=3, enable_checkpointing=True, callbacks=[SameScore(), best]).fit(model, data)
    assert {file.name for file in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 2
