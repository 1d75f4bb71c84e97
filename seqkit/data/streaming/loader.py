"""The loader of a stream: equally many steps on all ranks, resumable."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data.streaming.stream import PackedStream

_HISTORY = 64  # batches that a loop may fetch ahead of the one it takes a state at


class StreamLoader(DataLoader[Batch]):
    """Loads a :class:`PackedStream`: equally many steps on all ranks, resumable.

    Ranks agree before each step whether to take it, by one ``all_reduce`` of one number (some 0.1 ms), as nobody
    knows beforehand how many batches a share has. In training the epoch ends with the rank that runs out first, and
    what the others still have is left out; in evaluation it ends with the last, and a rank that has run out yields
    batches without rows.

    A state is that of the loop: batches consumed. In one process without workers the stream goes on from the pools
    it was in; otherwise it is read again from the epoch's beginning and what was consumed is passed over.

    Args:
        stream: The stream.
        num_workers: Processes that read; each has a share of the rows.
        pin_memory: As in torch's DataLoader.
        epoch: Says the epoch when an iteration begins; by default that of ``stream.set_epoch``.
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
        """Batches of the epoch, once its end has been seen."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """This rank's batches of the epoch; of the epoch that a loaded state is in, the remaining ones."""
        stream, resume = self.dataset, self._resume
        epoch = int(stream.epoch) if self._epoch_of is None else self._epoch_of()
        # Lightning, resumed at the very end of an epoch, iterates once for its rest, none, and the next one.
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
        while self._go_on(batch is not None):
            reached = stream.position if self.num_workers == 0 else None
            count += 1
            self._history.append((count, reached))
            yielded = Batch(torch.zeros(0, dtype=torch.int64), {}, {}) if batch is None else batch
            # Fetched only now, one ahead, when the loop asks for more: a state is taken between two batches.
            batch = next(batches, None)
            if stream.num_replicas == 1 and batch is None:
                self.ended_after = count
            yield yielded
        self.ended_after = count

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Where the epoch stands after ``step`` batches (by default after all that were yielded): plain types.

        Raises:
            ValueError: ``step`` lies too far back.
        """
        last = self._history[-1][0] if self._history else 0
        step = last if step is None else step
        known = dict(self._history) or {0: None}
        if step not in known:
            raise ValueError(f"step={step}: of this epoch the batches {min(known)} to {last} are remembered")
        alone = self.num_workers == 0 and self.dataset.num_replicas == 1
        return {
            "epoch": int(self.dataset.epoch),
            "batches": step,
            "position": known.get(step) if alone else None,
            "settings": self._settings(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the iteration of the state's epoch go on from it.

        Raises:
            ValueError: The state is of other settings, or of a dataset with other columns or another number of
                shards; that its rows are the same nobody can tell of a stream. It cannot be dealt anew.
        """
        mine, other = self._settings(), state_dict["settings"]
        differing = [
            f"{key} {other.get(key)!r} in the state, {value!r} here"
            for key, value in mine.items()
            if value != other.get(key)
        ]
        if differing:
            raise ValueError(
                f"the stream's state does not belong to these settings: {'; '.join(differing)}; resume with those "
                "the state was saved with, or start a new run"
            )
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

    def _go_on(self, more: bool) -> bool:
        """Whether the ranks take another step."""
        ranks = self.dataset.num_replicas
        if ranks == 1 or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return more
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        having = torch.tensor([int(more)], device=device)
        torch.distributed.all_reduce(having)
        return int(having) == ranks if self.dataset.shuffle else int(having) > 0
