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
    continue_epoch,
    correct_progress,
    default_map_location,
    dump_config,
    end_epoch_schedules,
    end_resumed_epoch,
    find_callbacks,
    load_model,
    logged_batch,
    rebuildable,
    remove_callbacks,
    replace_results_table,
    saved_arguments,
    saved_progress,
    set_reload_interval,
    training_position,
)

CHANGED = f"lightning {lightning.__version__} differs from 2.6.6: adapt seqkit.upstream.lightning.{{}}"


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


class Positions(Callback):
    """Record where the training loop is, and save a checkpoint at a moment."""

    def __init__(self, save_at=None, file=None):
        self.save_at, self.file = save_at, file
        self.batches, self.positions = [], []

    def record(self, trainer, moment):
        self.positions.append((moment, *training_position(trainer)))
        if self.save_at == (moment, len(self.batches)):
            trainer.save_checkpoint(self.file)

    def on_train_epoch_start(self, trainer, pl_module):
        self.record(trainer, "start")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append((trainer.current_epoch, batch_idx))
        self.record(trainer, "batch")

    def on_validation_epoch_end(self, trainer, pl_module):
        self.record(trainer, "validating")

    def on_train_epoch_end(self, trainer, pl_module):
        self.record(trainer, "end")


class Resumed(Positions):
    """Correct the progress of the checkpoint from which a run resumes."""

    def __init__(self, finished):
        super().__init__()
        self.finished = finished

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.saved = saved_progress(checkpoint)
        self.pending = correct_progress(checkpoint, finished=self.finished)

    def on_train_start(self, trainer, pl_module):
        continue_epoch(trainer, pending=self.pending, finished=self.finished)
        if self.finished and self.saved[1]:
            end_epoch_schedules(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        super().on_train_epoch_end(trainer, pl_module)
        end_resumed_epoch(trainer)


class Resumable(BoringModel):
    def train_dataloader(self):
        return ResumableLoader(super().train_dataloader().dataset)


class ResumableLoader(torch.utils.data.DataLoader):
    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


def fit(trainer, batches, epochs, positions, resume=None, **options):
    defaults = {"limit_val_batches": 0, "num_sanity_val_steps": 0}
    run = trainer(
        max_epochs=epochs, limit_train_batches=batches, callbacks=[positions], logger=False, **(defaults | options)
    )
    run.fit(Resumable(), ckpt_path=resume, weights_only=True if resume else None)
    return positions


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_training_position(trainer):
    found = fit(trainer, 2, 2, Positions()).positions
    first = [("start", 0, 0, False), ("batch", 0, 1, False), ("batch", 0, 2, True), ("end", 0, 2, True)]
    # A new epoch counts as started after its first hook.
    second = [("start", 0, 2, True), ("batch", 1, 1, False), ("batch", 1, 2, True), ("end", 1, 2, True)]
    message = CHANGED.format("training_position (the epoch that started, batches processed, whether these are all)")
    assert found == first + second, message


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("batches", [3, 4, 5])
@pytest.mark.parametrize("moment", ["batch", "validating", "end"])
@pytest.mark.parametrize("validates", [False, True])
def test_continue_epoch_at_its_end(trainer, tmp_path, batches, moment, validates):
    if moment == "validating" and not validates:
        return
    file, options = tmp_path / "end.ckpt", {"limit_val_batches": 2 * validates}
    fit(trainer, 4, 1, Positions((moment, 4), file), **options)
    found = fit(trainer, batches, 2, Resumed(finished=True), file, **options)
    message = CHANGED.format("continue_epoch (a resumed run does what follows the last batch, then the next epoch)")
    assert found.batches == [(1, batch) for batch in range(batches)], message
    moments = [position[0] for position in found.positions]
    ending = ["validating"] * validates + ["end"]
    rest = {"batch": ending, "validating": ["end"], "end": []}[moment]
    assert moments == [*rest, "start", *["batch"] * batches, *ending], message


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("moment", ["batch", "validating"])
def test_continue_epoch_at_a_validation_within_it(trainer, tmp_path, step, moment):
    if moment == "validating" and step % 2:
        return
    file, options = tmp_path / "step.ckpt", {"limit_val_batches": 2, "val_check_interval": 2}
    whole = fit(trainer, 4, 1, Positions((moment, step), file), **options)
    found = fit(trainer, 4, 1, Resumed(finished=False), file, **options)
    saved = next(n for n, p in enumerate(whole.positions) if p[0] == moment and p[2] == step)
    message = CHANGED.format("continue_epoch (a resumed run does the validation that follows a batch)")
    assert found.positions == whole.positions[saved + 1 :], message


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_correct_progress_of_an_epoch_that_was_cut_short(trainer, tmp_path):
    file = tmp_path / "end.ckpt"
    fit(trainer, 4, 1, Positions(("end", 2), file), max_steps=2)
    found = fit(trainer, 4, 2, Resumed(finished=False), file)
    message = CHANGED.format("correct_progress (a resumed run finishes an epoch that max_steps cut short)")
    assert found.batches == [(0, 2), (0, 3), *((1, batch) for batch in range(4))], message


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
