import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.demos.boring_classes import BoringModel

from seqkit.upstream.lightning import (
    continue_epoch,
    correct_progress,
    end_epoch_schedules,
    end_resumed_epoch,
    saved_progress,
    set_reload_interval,
    training_position,
)
from tests.upstream.cases import CHANGED


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
