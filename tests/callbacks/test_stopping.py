from functools import partial
from types import SimpleNamespace

import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint, EarlyStop
from seqkit.callbacks.monitor import has_validation
from seqkit.nn import LSTM, Embedding


def build(splits, **options):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    torch.manual_seed(0)
    return Tagger(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4), **options
    ), data


def test_stops_by_the_monitor_of_the_task(splits, trainer, tmp_path):
    model, data = build(splits, optimizer=partial(torch.optim.SGD, lr=0.0))
    stop, best = EarlyStop(patience=2), BestCheckpoint(tmp_path)
    run = trainer(max_epochs=20, callbacks=[stop, best], enable_checkpointing=True)
    run.fit(model, data)
    assert (stop.monitor, stop.mode) == (best.monitor, best.mode) == ("val_accuracy", "max")
    assert run.current_epoch == 3
    assert stop.best_score == best.best_model_score == run.callback_metrics["val_accuracy"]


def test_continues_while_the_metric_improves(splits, trainer):
    model, data = build(splits, optimizer=partial(torch.optim.Adam, lr=0.01))
    model.monitor = ("val_loss", "min")
    stop = EarlyStop(patience=1)
    run = trainer(max_epochs=4, callbacks=[stop])
    run.fit(model, data)
    assert run.current_epoch == 4
    assert stop.mode == "min"


def test_a_resumed_run_remembers_how_long_it_has_waited(splits, trainer, tmp_path):
    model, data = build(splits, optimizer=partial(torch.optim.SGD, lr=0.0))
    run = trainer(max_epochs=2, callbacks=[EarlyStop(patience=2)])
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    stop = EarlyStop(patience=2)
    again = trainer(max_epochs=20, callbacks=[stop])
    again.fit(*build(splits, optimizer=partial(torch.optim.SGD, lr=0.0)), ckpt_path=tmp_path / "model.ckpt")
    assert again.current_epoch == 3


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
def test_a_second_fit_of_the_same_trainer_keeps_the_counters(splits, trainer, tmp_path):
    stop, best = EarlyStop(patience=5), BestCheckpoint(tmp_path)
    model, data = build(splits, optimizer=partial(torch.optim.SGD, lr=0.0))
    run = trainer(max_epochs=2, callbacks=[stop, best], enable_checkpointing=True)
    run.fit(model, data)
    path = best.best_model_path
    run.fit_loop.max_epochs = 3
    run.fit(model, data)
    assert stop.wait_count == 2
    assert path


def test_validation_that_is_switched_off(splits, trainer):
    with pytest.raises(ValueError, match="EarlyStop watches the validation split, but there is none; name one"):
        trainer(max_epochs=1, callbacks=[EarlyStop()], limit_val_batches=0).fit(*build(splits))


def test_a_data_module_without_a_validation_split(splits):
    model, _ = build(splits)
    alone = {"train": splits["train"]}
    data = SequenceDataModule(alone, inputs="words", targets="tags", max_tokens=64, validation_fraction=0.0)
    run = SimpleNamespace(enable_validation=True, datamodule=data)
    with pytest.raises(ValueError, match="EarlyStop watches the validation split, but there is none; name one"):
        EarlyStop().setup(run, model, "fit")
    assert not has_validation(run)
    assert has_validation(SimpleNamespace(enable_validation=True, datamodule=build(splits)[1]))
    assert has_validation(SimpleNamespace(enable_validation=True))  # a fit on data loaders


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
def test_a_new_fit_starts_from_scratch(splits, trainer, tmp_path):
    stop, best = EarlyStop(patience=2), BestCheckpoint(tmp_path)
    build_still = partial(build, splits, optimizer=partial(torch.optim.SGD, lr=0.0))
    for _ in range(2):
        run = trainer(max_epochs=20, callbacks=[stop, best], enable_checkpointing=True)
        run.fit(*build_still())
        assert run.current_epoch == 3
        assert best.best_model_score == run.callback_metrics["val_accuracy"]
        # Scores that the second fit could not reach.
        stop.best_score, best.best_model_score = torch.tensor(2.0), torch.tensor(2.0)
        best.best_k_models = dict.fromkeys(best.best_k_models, torch.tensor(2.0))
