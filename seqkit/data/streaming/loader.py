"""The loader of a stream."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data.batching.state import require_equal_settings
from seqkit.data.streaming.stream import PackedStream

_HISTORY = 64  # number of batches that a loop may prefetch after the batch at which it saves a state


class StreamLoader(DataLoader[Batch]):
    """Load a :class:`~seqkit.data.PackedStream`: equally many steps on all ranks, resumable.

    How many batches a rank's share makes is unknown before its end. So before each step the ranks agree whether to
    take it, by one ``all_reduce`` of one number. In training the epoch ends with the first rank
    without a batch, and the remaining batches of the others are left out. In evaluation it ends with the last rank,
    and a rank without a batch yields batches without rows.

    A state counts the batches that the loop has consumed. In one process without workers, a resumed stream
    continues from its pool. Otherwise it is read again from the beginning of the epoch, and the consumed batches
    are skipped.

    Args:
        stream: The stream.
        num_workers: Processes that read; each has a share of the rows.
        pin_memory: See torch's DataLoader.
        epoch: Called for the epoch when an iteration begins; by default the epoch is that of ``stream.set_epoch``.

    Attributes:
        ended_after: Number of batches of the epoch, once its end is reached; None before.
    """

    dataset: PackedStream

    def __init__(
        self,
        stream: PackedStream,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        epoch: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(
            stream,
            batch_size=None,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator().manual_seed(stream.seed),
        )
        self._epoch_of = epoch
        self._resume: dict[str, Any] | None = None
        self._history: deque[tuple[int, dict[str, Any] | None]] = deque(maxlen=_HISTORY)
        self.ended_after: int | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yield this rank's batches of the epoch, after a loaded state the remaining ones."""
        stream, resume = self.dataset, self._resume
        epoch = int(stream.epoch) if self._epoch_of is None else self._epoch_of()
        # Resumed at an epoch's end, Lightning first iterates in the finished epoch, then in the next one.
        if resume is not None and (epoch == resume["epoch"] or (self._epoch_of and epoch < resume["epoch"])):
            epoch = resume["epoch"]
        else:
            resume = self._resume = None
        stream.set_epoch(epoch)
        count = resume["batches"] if resume else 0
        position = resume["position"] if resume else None
        stream.start_at(position)
        self._history.clear()
        self._history.append((count, position))
        self.ended_after = None
        batches: Iterator[Batch] = super().__iter__()
        if position is None:
            batches = itertools.islice(batches, count, None)
        batch = next(batches, None)
        while self._take_step(batch is not None):
            reached = stream.position if self.num_workers == 0 else None
            count += 1
            self._history.append((count, reached))
            yielded = Batch(torch.zeros(0, dtype=torch.int64), {}, {}) if batch is None else batch
            # One batch ahead, but only when the loop asks for a batch: states are saved between two batches.
            batch = next(batches, None)
            if stream.num_replicas == 1 and batch is None:
                self.ended_after = count
            yield yielded
        self.ended_after = count

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Return the position after ``step`` batches of the epoch, by default all yielded ones, as plain types.

        Keys: ``epoch``; ``batches``, the consumed batches; ``position``, that of the stream or None; ``settings``.

        Raises:
            ValueError: ``step`` is more than 64 batches ago.
        """
        last = self._history[-1][0] if self._history else 0
        step = last if step is None else step
        known = dict(self._history) or {0: None}
        if step not in known:
            raise ValueError(f"step={step}: of this epoch the batches {min(known)} to {last} are remembered")
        one_process = self.num_workers == 0 and self.dataset.num_replicas == 1
        return {
            "epoch": int(self.dataset.epoch),
            "batches": step,
            "position": known.get(step) if one_process else None,
            "settings": self._settings(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the position at which the state was saved; the same number of ranks and workers is needed.

        Raises:
            ValueError: The state belongs to other settings, or to a dataset with other columns or another number of
                shards. Whether a stream has the same rows cannot be checked.
        """
        require_equal_settings("stream", state_dict["settings"], self._settings())
        self._resume = state_dict
        self._history = deque([(state_dict["batches"], state_dict["position"])], maxlen=_HISTORY)
        self.dataset.set_epoch(state_dict["epoch"])

    def _settings(self) -> dict[str, Any]:
        stream = self.dataset
        return {
            "ranks": stream.num_replicas,
            "workers": self.num_workers,
            "shards": stream.dataset.num_shards,
            "columns": [*stream.inputs, *stream.targets, *stream.sequence_targets],
            "pool": stream.pool,
            "seed": stream.seed,
            "shuffle": stream.shuffle,
            "max_tokens": stream.max_tokens,
            "max_sequences": stream.max_sequences,
            "budget": stream.budget,
            "overlong": stream.overlong,
            "empty": stream.empty,
            "cost": None if stream.cost is None else dataclasses.asdict(stream.cost),
        }

    def _take_step(self, has_batch: bool) -> bool:
        """Return whether the ranks take another step, given whether this rank has a batch."""
        ranks = self.dataset.num_replicas
        if ranks == 1 or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return has_batch
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        count = torch.tensor([int(has_batch)], device=device)
        torch.distributed.all_reduce(count)
        return int(count) == ranks if self.dataset.shuffle else int(count) > 0
