import lightning
import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, WeightAveraging
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn

from seqkit.upstream.lightning import (
    add_callback,
    epoch_limit,
    find_callbacks,
    finish_epoch,
    rebuildable,
    remove_callbacks,
    saved_arguments,
    set_reload_interval,
    training_position,
)

CHANGED = f"lightning {lightning.__version__} differs from 2.6.6: adapt seqkit.upstream.lightning.{{}}"


class Calls(Callback):
    def __init__(self):
        self.epochs = 0

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs += 1


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_epoch_limit(trainer):
    calls = Calls()
    run = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0, callbacks=[calls])
    with epoch_limit(run, 3):
        run.fit(BoringModel())
    assert calls.epochs == 3, CHANGED.format("epoch_limit (Trainer.fit stops after fit_loop.max_epochs)")
    assert run.max_epochs == 1, CHANGED.format("epoch_limit (Trainer.max_epochs is fit_loop.max_epochs)")


def test_find_callbacks(trainer):
    calls = Calls()
    run = trainer(callbacks=[LearningRateMonitor(), calls])
    assert find_callbacks(run, Calls) == [calls], CHANGED.format("find_callbacks (Trainer.callbacks is their list)")


def test_remove_callbacks(trainer):
    calls = Calls()
    run = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0, callbacks=[calls, WeightAveraging()])
    remove_callbacks(run, Calls)
    run.fit(BoringModel())
    assert calls.epochs == 0, CHANGED.format("remove_callbacks (Trainer.fit calls those of Trainer.callbacks)")
    assert len(find_callbacks(run, WeightAveraging)) == 1


class Nested(LightningModule):
    def __init__(self, part: nn.Module, size: int = 1):
        super().__init__()
        self.save_hyperparameters()
        self.part = part
        self.size = size


PART = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 3}}


@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_saved_arguments(monkeypatch):
    """The form is the one in which a LightningCLI saves hyper-parameters."""
    monkeypatch.setattr("sys.argv", ["python"])  # it warns if it gets arguments from there as well
    cli = LightningCLI(
        LightningModule,
        subclass_mode_model=True,
        run=False,
        save_config_callback=None,
        auto_configure_optimizers=False,
        seed_everything_default=False,
        args={"model": {"class_path": f"{__name__}.Nested", "init_args": {"part": PART, "size": 4}}},
    )
    saved = saved_arguments(cli.model.hparams)
    message = CHANGED.format("saved_arguments (hyper_parameters hold _class_path and _instantiator)")
    assert saved is not None, message
    class_path, arguments = saved
    assert (class_path, arguments["size"]) == (f"{__name__}.Nested", 4), message
    assert set(arguments) == {"part", "size"}, message
    assert rebuildable(class_path, arguments) == dict(cli.model.hparams), CHANGED.format("rebuildable")
    assert saved_arguments({"size": 4}) is None


@pytest.mark.filterwarnings("ignore:Attribute 'part' is an instance of `nn.Module`")
def test_rebuildable(tmp_path):
    model = Nested(nn.Linear(2, 3), 4)
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": rebuildable(f"{__name__}.Nested", {"part": PART, "size": 4}),
        "pytorch-lightning_version": lightning.__version__,
    }
    torch.save(checkpoint, tmp_path / "model.ckpt")
    loaded = LightningModule.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    message = CHANGED.format("rebuildable (hyper-parameters from which load_from_checkpoint builds nested parts)")
    assert isinstance(loaded, Nested), message
    assert loaded.size == 4, message
    torch.testing.assert_close(loaded.part.weight, model.part.weight)


def test_add_callback(trainer):
    calls = Calls()
    run = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    add_callback(run, calls)
    run.fit(BoringModel())
    assert calls.epochs == 1, CHANGED.format("add_callback (Trainer.fit calls those of Trainer.callbacks)")


class Positions(Callback):
    """Record where the training loop is, and save a checkpoint after some batches of the first epoch."""

    def __init__(self, finish=False, save_after=None, file=None):
        self.finish, self.save_after, self.file = finish, save_after, file
        self.batches, self.positions = [], []

    def on_train_start(self, trainer, pl_module):
        if self.finish:
            finish_epoch(trainer)

    def on_train_epoch_start(self, trainer, pl_module):
        self.positions.append(("start", *training_position(trainer)))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append((trainer.current_epoch, batch_idx))
        self.positions.append(("batch", *training_position(trainer)))
        if len(self.batches) == self.save_after:
            trainer.save_checkpoint(self.file)

    def on_train_epoch_end(self, trainer, pl_module):
        self.positions.append(("end", *training_position(trainer)))


class Resumable(BoringModel):
    def train_dataloader(self):
        return ResumableLoader(super().train_dataloader().dataset)


class ResumableLoader(torch.utils.data.DataLoader):
    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


def fit(trainer, batches, epochs, positions, resume=None):
    run = trainer(
        max_epochs=epochs, limit_train_batches=batches, limit_val_batches=0, callbacks=[positions], logger=False
    )
    run.fit(Resumable(), ckpt_path=resume, weights_only=True if resume else None)
    return positions


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_training_position(trainer):
    found = fit(trainer, 2, 2, Positions()).positions
    first = [("start", 0, 0), ("batch", 0, 1), ("batch", 0, 2), ("end", 0, 2)]
    # A new epoch counts as started after its first hook.
    second = [("start", 0, 2), ("batch", 1, 1), ("batch", 1, 2), ("end", 1, 2)]
    assert found == first + second, CHANGED.format("training_position (the epoch that started, batches processed)")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("batches", [3, 4, 5])
def test_finish_epoch(trainer, tmp_path, batches):
    file = tmp_path / "end.ckpt"
    fit(trainer, 4, 1, Positions(save_after=4, file=file))
    found = fit(trainer, batches, 2, Positions(finish=True), file)
    message = CHANGED.format("finish_epoch (a resumed run starts the epoch after the finished one)")
    assert found.batches == [(1, batch) for batch in range(batches)], message
    assert found.positions[1:] == [*(("batch", 1, n + 1) for n in range(batches)), ("end", 1, batches)], message
    assert found.positions[0][0] == "start", message


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_set_reload_interval(trainer):
    class Loaders(BoringModel):
        loaders = 0

        def train_dataloader(self):
            self.loaders += 1
            return super().train_dataloader()

        def on_train_start(self):
            assert set_reload_interval(self.trainer, 1) == 0

    model = Loaders()
    trainer(max_epochs=3, limit_train_batches=1, limit_val_batches=0).fit(model)
    assert model.loaders == 3, CHANGED.format("set_reload_interval (train_dataloader is called for each epoch)")
