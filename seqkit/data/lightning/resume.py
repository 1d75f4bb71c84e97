"""Resuming in Lightning: the position in the training data, and the loops' counters."""

import math
from copy import copy, deepcopy
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from seqkit.data.lightning.loaders import ModuleStreamLoader, PlannedLoader
from seqkit.upstream.lightning import (
    add_callback,
    continue_epoch,
    correct_progress,
    end_epoch_schedules,
    end_resumed_epoch,
    remove_callbacks,
    saved_progress,
    set_reload_interval,
    training_position,
)


class ResumableDataModule(LightningDataModule):
    """A data module whose training continues from the position in a checkpoint."""

    _train_loader: PlannedLoader | ModuleStreamLoader | None = None
    _resume_state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the training data and the last metrics: small, JSON-able, for all ranks."""
        if self.trainer is None or self._train_loader is None:
            return {}
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        return training_state(self.trainer, self._train_loader) | {"metrics": metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the training loader continue from a state, on any number of ranks."""
        state = dict(state_dict)
        metrics = state.pop("metrics", {})
        self._resume_state = state or None
        if state and self.trainer is not None:
            add_callback(self.trainer, ResumedEpoch(state["batches"] > 0, metrics))

    @classmethod
    def load_from_checkpoint(cls, *_: Any, **__: Any) -> NoReturn:
        """Raise an error: checkpoints hold no data module, and Lightning would import what they name."""
        raise NotImplementedError(f"a checkpoint holds no {cls.__name__}; make one with spec=model.spec")

    def teardown(self, stage: str) -> None:
        """Forget the state after a fit: the next fit starts from the beginning."""
        if stage == "fit":
            self._resume_state = None
            if self.trainer is not None:
                remove_callbacks(self.trainer, ResumedEpoch)


def training_state(trainer: Trainer, loader: PlannedLoader | ModuleStreamLoader) -> dict[str, Any]:
    """Return the position in the training data after the batches that Lightning has processed."""
    epoch, step, finished = training_position(trainer)
    if finished:
        epoch, step = epoch + 1, 0
    if isinstance(loader, ModuleStreamLoader):
        return loader.state_after(step, epoch)
    sampler: Any = copy(loader.sampler)  # the loader's sampler may be at another epoch
    sampler.set_epoch(epoch)
    state: dict[str, Any] = sampler.state_dict(step)
    return state


def current_epoch(module: LightningDataModule) -> int:
    """Return the epoch of a data module's trainer; 0 without a trainer."""
    return 0 if module.trainer is None else int(module.trainer.current_epoch)


def finished_epochs(checkpoint: dict[str, Any]) -> int:
    """Return how many epochs of a checkpoint Lightning counts as finished when :class:`ResumedEpoch` resumes it.

    Raises:
        KeyError: The checkpoint has no state of the loops or of a :class:`~seqkit.SequenceDataModule`.
    """
    batches, _ = saved_progress(checkpoint)
    progress = {"loops": deepcopy(checkpoint["loops"])}
    correct_progress(progress, finished=batches > 0 and not checkpoint["SequenceDataModule"]["batches"])
    return int(progress["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


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
    """Make Lightning's loops agree with the position at which a run is resumed.

    The run then does what the interrupted one would have done: also the validation and the end of the epoch if the
    checkpoint was saved before them, and the rest of an epoch that was stopped early. The values that callbacks and
    schedules watch are restored.

    Lightning reads the number of batches of an epoch once, when it sets up the training loader. On another number
    of ranks, the interrupted epoch has another number of batches than the epochs after it, so the loader is then
    set up again.

    Args:
        epoch_begun: Whether the run was interrupted in the middle of an epoch, not at its beginning or end.
        metrics: The trainer's ``callback_metrics`` when the checkpoint was saved.
    """

    def __init__(self, epoch_begun: bool, metrics: dict[str, float]) -> None:
        self._epoch_begun = epoch_begun
        self._finished = False  # whether all batches of the last started epoch are processed
        self._metrics = metrics
        self._pending = False
        self._lacks_schedules = False
        self._reload_interval: int | None = None

    def on_load_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Correct the counters of the loops before Lightning loads them."""
        batches, self._lacks_schedules = saved_progress(checkpoint)
        self._finished = batches > 0 and not self._epoch_begun
        self._pending = correct_progress(checkpoint, finished=self._finished)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Continue the interrupted epoch; set up the loader again if its number of batches is another one."""
        trainer.callback_metrics.update({name: _tensor(value) for name, value in self._metrics.items()})
        continue_epoch(trainer, pending=self._pending, finished=self._finished)
        if self._finished and self._lacks_schedules:
            end_epoch_schedules(trainer)
        loader: Any = trainer.train_dataloader
        planned = isinstance(loader, PlannedLoader) and not self._finished
        if planned and len(loader) != len(loader.sampler):
            self._reload_interval = set_reload_interval(trainer, 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Restore the trainer's option: the loader of the next epoch is set up."""
        self._restore(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Let the next epoch start as any other."""
        end_resumed_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Restore the trainer's option if the run ends in the resumed epoch."""
        self._restore(trainer)

    def _restore(self, trainer: Trainer) -> None:
        if self._reload_interval is not None:
            set_reload_interval(trainer, self._reload_interval)
            self._reload_interval = None


def _tensor(value: float) -> torch.Tensor:
    """Return a number as a tensor of the precision that it needs."""
    narrow = torch.tensor(value)
    return narrow if math.isnan(value) or narrow.item() == value else torch.tensor(value, dtype=torch.float64)
