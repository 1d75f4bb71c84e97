from functools import partial
from types import SimpleNamespace

import datasets
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from seqkit import LanguageModel, SequenceDataModule
from seqkit.callbacks import NonMonotonicAveraging
from seqkit.nn import GRU, Embedding

SGD = partial(torch.optim.SGD, lr=1.0)


@pytest.fixture
def fit(trainer):
    rows = datasets.Dataset.from_dict({"text": ["abcab", "bca", "cabca", "ab", "abcabc", "ca"] * 4})

    def run(*callbacks, ckpt_path=None, **options):
        data = SequenceDataModule({"train": rows, "validation": rows}, inputs="text", max_tokens=20)
        torch.manual_seed(0)
        model = LanguageModel(
            data.spec,
            encoder=partial(GRU, hidden_size=4),
            embedding=partial(Embedding, embedding_dim=4),
            optimizer=SGD,
        )
        fitted = trainer(callbacks=list(callbacks), **({"max_epochs": 3} | options))
        fitted.fit(model, data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
        return model

    return run


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Weights(Callback):
    """Records the model's weights after each step, before the next one, and in validation."""

    def __init__(self):
        self.after, self.before, self.validated = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.before.append(flat(pl_module))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.after.append(flat(pl_module))

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if not trainer.sanity_checking:
            self.validated.append(flat(pl_module))


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_the_trigger_is_that_of_the_paper(patience):
    """The condition in main.py of salesforce/awd-lstm-lm: len(best) > n and loss > min(best[:-n])."""
    losses = [5.0, 4.0, 3.0, 3.1, 2.9, 3.2, 3.3, 3.4, 2.0]
    callback, best, expected = NonMonotonicAveraging(patience), [], False
    trainer = SimpleNamespace(global_step=0, sanity_checking=False)
    callback.setup(trainer, None, "fit")
    for loss in losses:
        earlier = best[: len(best) - patience] if len(best) > patience else []
        expected = expected or (bool(earlier) and loss > min(earlier))
        trainer.callback_metrics = {"val_loss": torch.tensor(loss)}
        callback.on_validation_end(trainer, None)
        best.append(loss)
        assert callback.triggered is expected
    assert expected


def test_training_is_unchanged_before_the_trigger(fit):
    torch.testing.assert_close(flat(fit(NonMonotonicAveraging(patience=100))), flat(fit()), rtol=0, atol=0)


def test_the_model_ends_as_the_mean_of_the_steps_since_the_trigger(fit):
    weights, averaging = Weights(), NonMonotonicAveraging(patience=100)
    steps = 0

    class Trigger(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            nonlocal steps
            if trainer.current_epoch == 1:
                averaging.triggered, steps = True, trainer.global_step

    model = fit(weights, Trigger(), averaging)
    torch.testing.assert_close(flat(model), torch.stack(weights.after[steps:]).mean(0))
    for before, after in zip(weights.before[1:], weights.after, strict=False):
        assert torch.equal(before, after)  # training continues with the current weights
    per_epoch = len(weights.after) // 3
    torch.testing.assert_close(weights.validated[0], weights.after[per_epoch - 1])
    torch.testing.assert_close(weights.validated[-1], flat(model))


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
def test_a_checkpoint_has_the_average_and_resumes_with_both(fit, tmp_path):
    class Averaging(NonMonotonicAveraging):
        state_key = NonMonotonicAveraging().state_key

        def on_train_start(self, trainer, pl_module):
            self.triggered = True

    def keep(name):
        return ModelCheckpoint(tmp_path, save_top_k=-1, filename=name + "-{epoch}")

    whole = fit(Averaging(100), keep("one"), enable_checkpointing=True)
    half = fit(Averaging(100), max_epochs=2)
    saved = torch.load(tmp_path / "one-epoch=1.ckpt", weights_only=True)["state_dict"]
    for name, weight in half.state_dict().items():
        torch.testing.assert_close(saved[name], weight)
    resumed = fit(
        NonMonotonicAveraging(patience=100),
        keep("two"),
        enable_checkpointing=True,
        ckpt_path=tmp_path / "one-epoch=1.ckpt",
    )
    torch.testing.assert_close(flat(resumed), flat(whole))


def averaged(model):
    """A callback after one averaged step of a fit."""
    callback = NonMonotonicAveraging()
    trainer = SimpleNamespace(global_step=0)
    callback.setup(trainer, model, "fit")
    callback.triggered, trainer.global_step = True, 1
    callback.on_train_batch_end(trainer, model)
    return callback


@pytest.mark.parametrize("fn", ["fit", "validate"])
def test_validation_after_the_fit_uses_the_weights_of_the_model(fn):
    model = torch.nn.Linear(2, 2)
    callback = averaged(model)
    with torch.no_grad():
        model.weight += 1.0  # for example those of a checkpoint that trainer.validate has loaded
    loaded = flat(model)
    if fn != "fit":
        callback.setup(SimpleNamespace(global_step=1), model, fn)
    callback.on_validation_epoch_start(None, model)
    assert torch.equal(flat(model), loaded) is (fn != "fit")
    callback.on_validation_epoch_end(None, model)
    assert torch.equal(flat(model), loaded)


@pytest.mark.parametrize("fn", ["validate", "test", "predict", "fit"])
def test_a_checkpoint_is_tested_with_its_average_and_resumed_with_its_current_weights(fn):
    model = torch.nn.Linear(2, 2)
    callback = averaged(model)
    checkpoint = {"state_dict": model.state_dict()}
    callback.on_save_checkpoint(None, model, checkpoint)
    checkpoint["current_model_state"] = {name: weight + 1 for name, weight in model.state_dict().items()}
    average = flat(model)
    callback.setup(SimpleNamespace(global_step=1), model, fn)
    callback.on_load_checkpoint(None, model, checkpoint)
    assert torch.equal(flat(model), average) is (fn != "fit")


def test_a_checkpoint_of_tied_weights_and_buffers():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model[1].weight = model[0].weight
    callback = averaged(model)
    before = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight += 1.0
        model[2].running_mean += 1.0
    checkpoint = {"state_dict": model.state_dict()}
    callback.on_save_checkpoint(None, model, checkpoint)
    saved = checkpoint["state_dict"]
    assert torch.equal(saved["0.weight"], before)
    assert torch.equal(saved["1.weight"], before)
    assert torch.equal(saved["2.running_mean"], model[2].running_mean)


def test_negative_patience():
    with pytest.raises(ValueError, match="patience=-1; give a number of validations"):
        NonMonotonicAveraging(-1)


def test_a_new_fit_starts_from_scratch(fit):
    averaging = NonMonotonicAveraging(patience=0)
    # The state after an earlier fit.
    averaging.load_state_dict({"history": [0.0], "triggered": True, "latest_update_step": 10_000})
    torch.testing.assert_close(flat(fit(averaging, max_epochs=1)), flat(fit(max_epochs=1)), rtol=0, atol=0)
    assert len(averaging.history) == 1
    assert not averaging.triggered
