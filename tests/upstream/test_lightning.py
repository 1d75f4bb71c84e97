import lightning
import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar, WeightAveraging
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn

from seqkit.upstream.lightning import (
    add_callback,
    bar_reads_each_step,
    default_map_location,
    dump_config,
    find_callbacks,
    load_model,
    logged_batch,
    rebuildable,
    remove_callbacks,
    replace_results_table,
    saved_arguments,
)
from tests.upstream.cases import CHANGED


class Calls(Callback):
    def __init__(self):
        self.epochs = 0

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs += 1


def test_bar_reads_each_step(trainer):
    class Rare(ProgressBar):
        reads_each_step = False

    assert not bar_reads_each_step(None)
    assert not bar_reads_each_step(trainer())
    assert not bar_reads_each_step(trainer(callbacks=[Rare()], enable_progress_bar=True))
    assert bar_reads_each_step(trainer(enable_progress_bar=True)), CHANGED.format(
        "bar_reads_each_step (Trainer.progress_bar_callback is the bar)"
    )


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_replace_results_table(trainer, capsys):
    class Replace(Callback):
        def __init__(self):
            self.before = []

        def on_test_start(self, trainer, pl_module):
            self.before.append(replace_results_table(trainer))

        def on_validation_start(self, trainer, pl_module):
            self.before.append(replace_results_table(trainer))

    class Scored(BoringModel):
        def test_step(self, batch, batch_idx):
            self.log("score", 1.0)

        validation_step = test_step

    replace = Replace()
    run = trainer(callbacks=[replace], limit_val_batches=1, limit_test_batches=1)
    for _ in range(2):  # each call sets it again
        run.test(Scored())
        run.validate(Scored())
    run.test(Scored(), verbose=False)
    assert replace.before == [True] * 4 + [False], CHANGED.format("replace_results_table (test_loop.verbose)")
    assert capsys.readouterr().out == "", CHANGED.format("replace_results_table (the table follows verbose)")
    trainer(limit_test_batches=1).test(Scored())
    assert "Test metric" in capsys.readouterr().out


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


def test_dump_config(monkeypatch):
    """What is changed in the config later reaches the model, but not the dump."""
    monkeypatch.setattr("sys.argv", ["python"])

    class CLI(LightningCLI):
        def before_instantiate_classes(self):
            dump_config(self)
            self.config["model"]["init_args"]["size"] = 5

    cli = CLI(
        LightningModule,
        subclass_mode_model=True,
        run=False,
        save_config_callback=None,
        auto_configure_optimizers=False,
        seed_everything_default=False,
        args={"model": {"class_path": f"{__name__}.Nested", "init_args": {"part": PART, "size": 4}}},
    )
    assert cli.model.size == 5, CHANGED.format("dump_config")
    assert cli.model.hparams["size"] == 4, CHANGED.format("dump_config")


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


@pytest.mark.filterwarnings("ignore:Attribute 'part' is an instance of `nn.Module`")
def test_load_model():
    """Nothing is built from what the checkpoint holds of arguments, under any key that Lightning reads."""
    model = Nested(nn.Linear(2, 3), 4)
    hostile = {"size": 5, "_class_path": "os.system", "_instantiator": "os.system"}
    keys = ("hyper_parameters", "hparams", "module_arguments")
    checkpoint = {"state_dict": model.state_dict()} | dict.fromkeys(keys, hostile)
    checkpoint |= {"hparams_name": "size", "hparams_type": print}
    loaded = load_model(Nested, checkpoint, {"part": nn.Linear(2, 3), "size": 4}, strict=None)
    message = CHANGED.format("load_model (building a model and loading its state)")
    assert (type(loaded), loaded.size) == (Nested, 4), message
    torch.testing.assert_close(loaded.part.weight, model.part.weight)


def test_default_map_location():
    storage = torch.zeros(1).untyped_storage()
    message = CHANGED.format("default_map_location")
    assert default_map_location(storage, "cpu") is None, message
    assert torch.cuda.is_available() or default_map_location(storage, "cuda:0") is not None, message


def test_add_callback(trainer):
    calls = Calls()
    run = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    add_callback(run, calls)
    run.fit(BoringModel())
    assert calls.epochs == 1, CHANGED.format("add_callback (Trainer.fit calls those of Trainer.callbacks)")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_logged_batch(trainer):
    class Logs(BoringModel):
        def training_step(self, batch, batch_idx):
            assert logged_batch(self.trainer) is batch, CHANGED.format("logged_batch")
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self):
            assert logged_batch(self.trainer) is None, CHANGED.format("logged_batch")

    run = trainer(max_steps=2)
    run.fit(Logs())
    assert run.global_step == 2
    assert logged_batch(run) is None
    assert logged_batch(None) is None
