"""What the data module needs to make Lightning load planned batches: loaders and their place in the Trainer."""

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from seqkit.batch import Batch
from seqkit.data.batching.sampler import LengthBucketSampler
from seqkit.data.continuous import ContinuousText
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.streaming.loader import StreamLoader


class PlannedBatches(TorchDataset[Batch]):
    """The batches of a plan, by number."""

    def __init__(self, rows: RaggedRows | ContinuousText, plan: list[Any]) -> None:
        self.rows = rows
        self.plan = plan

    def __getitem__(self, number: int) -> Batch:
        return self.rows[self.plan[number]]

    def __len__(self) -> int:
        return len(self.plan)


class PlannedLoader(DataLoader[Batch]):
    """A loader that Lightning takes for resumable; its state travels in the data module's."""

    def __len__(self) -> int:
        """Number of batches of the current epoch, those before a resume included, as Lightning counts."""
        sampler = self.sampler
        return sampler.epoch_batches if isinstance(sampler, LengthBucketSampler) else super().__len__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""


class ModuleStreamLoader(StreamLoader):
    """A stream's loader that Lightning takes for resumable; its state travels in the data module's."""

    def state_after(self, step: int, epoch: int) -> dict[str, Any]:
        """The state after so many batches of an epoch, the one that is running or the next."""
        running = epoch == int(self.dataset.epoch)
        state = super().state_dict(step) if running else super().state_dict() | {"batches": 0, "position": None}
        return state | {"epoch": epoch}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state_dict(state)

    def state_dict(self, step: int | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""


class EpochLength(Callback):
    """Fits Lightning's counters to a resumed epoch: on another number of ranks it has another number of batches.

    Lightning takes the number once, when it sets up the loader, for all epochs.

    Args:
        epoch_begins: Whether the run was interrupted between two epochs.
    """

    def __init__(self, epoch_begins: bool) -> None:
        self._epoch_begins = epoch_begins
        self._reload_every: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Let the epochs after the resumed one be set up anew; see that a finished epoch counts as finished."""
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        if self._epoch_begins:
            missing = int(trainer.num_training_batches) - progress.ready if progress.ready else 0
            for counter in ("ready", "started", "processed", "completed"):
                setattr(progress, counter, getattr(progress, counter) + missing)
            return
        loader: Any = trainer.train_dataloader
        if len(loader) != len(loader.sampler):
            self._reload_every = _set_reload(trainer, 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """An epoch begins, with loaders of its own."""
        if self._reload_every is not None:
            _set_reload(trainer, self._reload_every)
            self._reload_every = None


def _set_reload(trainer: Any, epochs: int) -> int:
    """Let Lightning set up loaders anew after so many epochs; gives what was set before."""
    before: int = trainer.reload_dataloaders_every_n_epochs
    trainer.reload_dataloaders_every_n_epochs = epochs
    return before


def moved(values: Any, device: torch.device) -> Any:
    """Move packed or plain values; ``batch_sizes`` stays, as torch wants it on the CPU."""
    if not isinstance(values, PackedSequence):
        return move_data_to_device(values, device)
    tensors = {
        name: move_data_to_device(tensor, device)
        for name, tensor in values._asdict().items()
        if tensor is not None and name != "batch_sizes"
    }
    return values._replace(**tensors)


def as_it_is(batch: Any) -> Any:
    """The batch: the dataset has packed it."""
    return batch
