"""Data loaders of packed batches, in the form that Lightning does not replace."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, SequentialSampler
from torch.utils.data import Dataset as TorchDataset

from seqkit.batch import Batch
from seqkit.data.batching.sampler import LengthBucketSampler
from seqkit.data.continuous import BPTTSampler, ContinuousText
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.streaming.loader import StreamLoader
from seqkit.data.streaming.stream import PackedStream
from seqkit.packed import pins_memory


class PlannedBatches(TorchDataset[Batch]):
    """The batches of a plan as a dataset: item *i* is batch *i*.

    Lightning's ``overfit_batches`` replaces the sampler by one that counts items and shares them among the ranks.

    Args:
        rows: What the batches are taken from.
        plan: Index into ``rows`` of each batch.
    """

    def __init__(self, rows: RaggedRows | ContinuousText, plan: list[Any]) -> None:
        self.rows = rows
        self.plan = plan

    def __getitem__(self, number: int) -> Batch:
        return self.rows[self.plan[number]]

    def __len__(self) -> int:
        return len(self.plan)


class PlannedLoader(DataLoader[Batch]):
    """Load the batches that a sampler plans; made by :func:`planned_loader`.

    Lightning takes it for resumable, as it has ``state_dict``. The state itself is the data module's. The
    constructor is DataLoader's, because Lightning makes such a loader again for ``predict``.

    Attributes:
        unseen_labels: By target, the labels that training lacks; their ids follow the classes.
    """

    unseen_labels: Mapping[str, Sequence[str]] = {}

    def __len__(self) -> int:
        """Return the number of batches of the current epoch, as Lightning counts them: from its beginning."""
        sampler = self.sampler
        return sampler.epoch_batches if isinstance(sampler, LengthBucketSampler) else super().__len__()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing."""


class ModuleStreamLoader(StreamLoader):
    """Load a stream.

    Lightning takes it for resumable, as it has ``state_dict``. The state itself is the data module's.
    Two arguments of the constructor are ignored: Lightning gives them when it makes such a loader again for
    ``predict``.

    Attributes:
        unseen_labels: As of :class:`PlannedLoader`.
    """

    unseen_labels: Mapping[str, Sequence[str]] = {}

    def __init__(
        self,
        dataset: PackedStream,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        epoch: Callable[[], int] | None = None,
        sampler: None = None,  # noqa: ARG002
        batch_sampler: None = None,  # noqa: ARG002
    ) -> None:
        super().__init__(dataset, num_workers=num_workers, pin_memory=pin_memory, epoch=epoch)

    def state_after(self, step: int, epoch: int) -> dict[str, Any]:
        """Return the state after ``step`` batches of an epoch, the current one or the next."""
        current = epoch == int(self.dataset.epoch)
        state = super().state_dict(step) if current else super().state_dict() | {"batches": 0, "position": None}
        return state | {"epoch": epoch}

    def require_one_process(self) -> None:
        """Check that the rows' numbers are those of the stream, as predictions need them.

        Raises:
            ValueError: Several processes read the stream.
        """
        ranks = self.dataset.num_replicas
        if ranks * max(self.num_workers, 1) > 1:
            raise ValueError(
                f"predict from a stream keeps the rows' numbers in one process only, but there are {ranks} ranks "
                f"with {self.num_workers} workers; use devices=1 and num_workers=0, or streaming=False"
            )

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        super().load_state_dict(state)

    def state_dict(self, step: int | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing."""


def planned_loader(
    batches: RaggedRows | ContinuousText | PlannedBatches,
    sampler: LengthBucketSampler | BPTTSampler | SequentialSampler,
    num_workers: int,
    seed: int,
) -> PlannedLoader:
    """Return a loader of the batches that a sampler plans.

    Args:
        batches: Rows, or a text, indexed by what the sampler yields.
        sampler: The plan.
        num_workers: Processes that gather batches.
        seed: Seed of the workers' seeds, so that loaders do not change the global random state.
    """
    return PlannedLoader(
        batches,
        sampler=sampler,
        batch_size=None,  # the sampler yields whole batches, and Lightning does not replace it
        collate_fn=identity,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=pins_memory(),
        generator=torch.Generator().manual_seed(seed),
    )


def overfits(trainer: Trainer | None) -> bool:
    """Whether a trainer is fitting with ``overfit_batches``."""
    given: Any = trainer
    return given is not None and given.state.fn == TrainerFn.FITTING and given.overfit_batches > 0


def validates(trainer: Any) -> bool:
    """Whether ``Trainer.validate`` asks for the rows, not a fit, which can do without a validation split."""
    return trainer is not None and trainer.state.fn == TrainerFn.VALIDATING


def overfit_loader(
    rows: RaggedRows | ContinuousText, sampler: LengthBucketSampler | BPTTSampler, num_workers: int, seed: int
) -> PlannedLoader:
    """Return a loader of the sampler's batches, the same in each epoch, for Lightning's ``overfit_batches``."""
    batches = PlannedBatches(rows, list(sampler))
    return planned_loader(batches, SequentialSampler(batches), num_workers, seed)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device, tensor by tensor: only for plain tensors does Lightning not wait for the copy."""
    return Batch(
        move_data_to_device(batch.rows, device),
        {column: _move_values(values, device) for column, values in batch.inputs.items()},
        {column: _move_values(values, device) for column, values in batch.targets.items()},
    )


def identity(batch: Any) -> Any:
    """Return the batch unchanged: the dataset has packed it."""
    return batch


def _move_values(values: Any, device: torch.device) -> Any:
    """Move a tensor or a PackedSequence; ``batch_sizes`` stays on the CPU, where torch needs it."""
    if not isinstance(values, PackedSequence):
        return move_data_to_device(values, device)
    tensors = {
        name: move_data_to_device(tensor, device)
        for name, tensor in values._asdict().items()
        if tensor is not None and name != "batch_sizes"
    }
    return values._replace(**tensors)
