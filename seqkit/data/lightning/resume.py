"""Resuming in Lightning: the position in the training data, and the loops' counters."""

from copy import copy
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from seqkit.data.lightning.loaders import ModuleStreamLoader, PlannedLoader
from seqkit.upstream.lightning import finish_epoch, set_reload_interval, training_position


def training_state(trainer: Trainer, loader: PlannedLoader | ModuleStreamLoader) -> dict[str, Any]:
    """Return the position in the training data after the batches that Lightning has processed."""
    epoch, step = training_position(trainer)
    if isinstance(loader, ModuleStreamLoader):
        if step and step in (loader.ended_after, trainer.num_training_batches):
            epoch, step = epoch + 1, 0
        return loader.state_after(step, epoch)
    if step >= trainer.num_training_batches:
        epoch, step = epoch + 1, 0
    sampler: Any = copy(loader.sampler)  # the loader's sampler may be at another epoch
    sampler.set_epoch(epoch)
    state: dict[str, Any] = sampler.state_dict(step)
    return state


def current_epoch(module: LightningDataModule) -> int:
    """Return the epoch of a data module's trainer; 0 without a trainer."""
    return 0 if module.trainer is None else int(module.trainer.current_epoch)


def start_training(loader: PlannedLoader | ModuleStreamLoader, epoch: int, state: dict[str, Any] | None) -> None:
    """Move a new training loader to the position of a resumed run, or to the beginning of an epoch.

    Lightning may ask for the loader twice before the first step, and again for later epochs. So the state counts
    until its epoch is over.
    """
    sampler: Any = loader.sampler
    if state is not None and state["epoch"] >= epoch:
        loader.resume(state) if isinstance(loader, ModuleStreamLoader) else sampler.load_state_dict(state)
    elif isinstance(loader, PlannedLoader):
        sampler.set_epoch(epoch)  # Lightning sets it only after workers begin to prefetch


class ResumedEpoch(Callback):
    """Make Lightning's loops agree with the epoch in which a run is resumed.

    Lightning reads the number of batches of an epoch once, when it sets up the training loader. On another number
    of ranks, the interrupted epoch has another number of batches than the epochs after it, and an epoch that was
    finished before has another number than Lightning's counters say.

    Args:
        finished: Whether the run was interrupted after the last batch of an epoch.
    """

    def __init__(self, finished: bool) -> None:
        self._finished = finished
        self._reload_interval: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count a finished epoch as finished; after an unfinished one, set up the loader again."""
        if self._finished:
            finish_epoch(trainer)
            return
        loader: Any = trainer.train_dataloader
        if len(loader) != len(loader.sampler):
            self._reload_interval = set_reload_interval(trainer, 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Restore the trainer's option: the loader of the next epoch is set up."""
        self._restore(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Restore the trainer's option if the run ends in the resumed epoch."""
        self._restore(trainer)

    def _restore(self, trainer: Trainer) -> None:
        if self._reload_interval is not None:
            set_reload_interval(trainer, self._reload_interval)
            self._reload_interval = None
