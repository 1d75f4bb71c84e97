"""Batches of rows of like length out of a stream, which nobody can sort: a pool of rows at a time."""

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
import torch.distributed
from datasets.distributed import split_dataset_by_node
from datasets.table import InMemoryTable
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from seqkit.batch import Batch
from seqkit.data.buckets import Budget, StepCost
from seqkit.data.order import Policy
from seqkit.data.pool import form_batches, learn_buckets
from seqkit.data.ragged import RaggedRows

Encode = Callable[[pa.Table, int], pa.Table]
Ints = npt.NDArray[np.int64]

_HISTORY = 64  # batches that a loop may fetch ahead of the one it takes a state at


class PackedStream(IterableDataset[Batch]):
    """The streaming sibling of :class:`~seqkit.data.LengthBucketSampler`: packed batches of an iterable dataset.

    Rows are read into a pool. Buckets are learned from the first one, by the same dynamic programming, and then
    followed: the batches of a pool that are full are yielded in random order, and the other rows wait for those of
    the next pool, no longer. So the waste is about that of the plan of a whole dataset if a pool makes 50 batches
    or more, and memory is bounded by two pools. The order of the shards is shuffled anew each epoch by the dataset.

    What is weaker than for a dataset that can be indexed: rows meet only those that come at about the same time;
    each rank has buckets of its own, so that the ranks' batches of a step are not of like lengths; the number of
    steps is not known before the end; :attr:`tokens_per_step` is an estimate from the first pool.

    Args:
        dataset: Rows to come. Each rank and each worker reads its share by
            ``datasets.distributed.split_dataset_by_node``: whole shards if their number is a multiple of that of
            the shares, else every so many-th row. A shuffle buffer in it makes resuming inexact.
        inputs: Columns; see :class:`~seqkit.data.RaggedRows`, also for the next two.
        targets: Columns.
        sequence_targets: Columns.
        pool: Number of rows that are read together; at most twice as many are held in memory.
        encode: Turns a table of rows, the first of them with this number, into columns of numbers.
        max_tokens: As in :class:`~seqkit.data.LengthBucketSampler`, also what follows.
        max_sequences: Cap on the sequences of a batch.
        budget: What ``max_tokens`` counts.
        shuffle: Whether shards, pools and batches are shuffled.
        seed: Of the shuffling.
        overlong: What becomes of a row longer than ``max_tokens``.
        empty: What becomes of a row without tokens.
        cost: What a plan minimises.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This rank.

    Raises:
        ValueError: ``pool`` is less than 1, or there is no budget; when iterated, what RaggedRows raises, and for
            an over-long or empty row under the policy "raise".
    """

    def __init__(
        self,
        dataset: datasets.IterableDataset,
        inputs: Sequence[str],
        targets: Sequence[str] = (),
        *,
        sequence_targets: Sequence[str] = (),
        pool: int = 10_000,
        encode: Encode | None = None,
        max_tokens: int | None = None,
        max_sequences: int | None = None,
        budget: Literal["packed", "padded"] = "packed",
        shuffle: bool = True,
        seed: int = 0,
        overlong: Literal["raise", "drop", "truncate", "solo"] = "raise",
        empty: Literal["raise", "drop"] = "raise",
        cost: StepCost | None = None,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        if pool < 1:
            raise ValueError(f"pool={pool}: must be at least 1 row")
        if max_tokens is None and max_sequences is None:
            raise ValueError(
                "neither max_tokens nor max_sequences is given: a batch needs a budget; e.g. max_tokens=4096"
            )
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if running else 1
        if rank is None:
            rank = torch.distributed.get_rank() if running else 0
        self.num_replicas = num_replicas
        self.rank = rank
        self.dataset = dataset
        self.inputs, self.targets, self.sequence_targets = list(inputs), list(targets), list(sequence_targets)
        self.pool = pool
        self.encode = encode
        self.max_tokens = max_tokens
        self.max_sequences = max_sequences
        self.budget = budget
        self.shuffle = shuffle
        self.seed = seed
        self.overlong = overlong
        self.empty = empty
        self.cost = cost
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]  # workers that persist see it change
        self.position: dict[str, Any] | None = None
        self._start: dict[str, Any] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        self.epoch.fill_(epoch)

    def start_at(self, position: dict[str, Any] | None) -> None:
        """Lets the next iteration, in this process, begin at what :attr:`position` was after some batch."""
        self._start = position

    @property
    def tokens_per_step(self) -> float:
        """Mean number of tokens of a step on all ranks, by the first pool."""
        return self._per_step[0]

    @property
    def sequences_per_step(self) -> float:
        """Mean number of sequences of a step on all ranks, by the first pool."""
        return self._per_step[1]

    def __iter__(self) -> Iterator[Batch]:
        """The batches of this rank's, and in a worker of this worker's, share of the epoch.

        :attr:`position` says after each batch where the share stands: small, of plain types.
        """
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        start, self._start = self._start, None
        epoch, shares, share = int(self.epoch), self.num_replicas * workers, self.rank * workers + number
        longest = None if start is None else np.array(start["buckets"])
        before: dict[str, Any] | None = None  # what the pool before needs to be had again
        held: tuple[pa.Table, Ints] | None = None  # rows that wait, and their numbers in the share
        for pool in self._pools(epoch, shares, share, start):
            if start is not None and start["before"] is not None and before is None:
                waiting = np.array(start["before"]["waiting"], np.int64)
                held = pool.table.take(waiting), waiting + pool.first
                before = start["before"]
                continue
            table = pool.table if held is None else pa.concat_tables([held[0], pool.table])
            numbers = pool.first + np.arange(len(pool.table))
            numbers = numbers if held is None else np.concatenate([held[1], numbers])
            rows = self._opened(table)
            kept = self._admitted(rows.lengths, numbers)
            if longest is None and kept.size:
                longest = learn_buckets(rows.lengths[kept], self._budget, self._cost)
            lengths, waited = rows.lengths[kept], kept < len(table) - len(pool.table)
            random = np.random.default_rng((self.seed, epoch, pool.number)) if self.shuffle else None
            batches: list[Ints] = []
            rest = np.zeros(0, np.int64)
            if longest is not None and kept.size:
                batches, rest, _ = form_batches(lengths, waited, longest, self._budget, random, all_rows=pool.last)
            done = start["batches"] if start is not None and pool.number == start["pool"] else 0
            for count, batch in enumerate(batches[done:], done + 1):
                self.position = {
                    "pool": pool.number,
                    "batches": count,
                    "buckets": [] if longest is None else longest.tolist(),
                    "before": before,
                    "first": pool.first,
                    "dataset": pool.state,
                }
                packed = rows[kept[batch].tolist()]
                yield packed._replace(rows=torch.from_numpy(numbers[packed.rows.numpy()] * shares + share))
            rest = kept[rest]  # none of them waited before: all are rows of this pool
            held = table.take(rest), numbers[rest]
            waiting = numbers[rest] - pool.first
            before = {"waiting": waiting.tolist(), "first": pool.first, "dataset": pool.state}

    def _pools(self, epoch: int, shares: int, share: int, start: dict[str, Any] | None) -> Iterator["_Pool"]:
        """The pools of an epoch; from a position, the one before it first."""
        stream = split_dataset_by_node(self.dataset, share, shares).with_format("arrow")
        if self.shuffle:  # from the epoch's number the dataset takes the order of its shards; that of 0 is as it is
            stream.set_epoch(1 + int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0]))
        number, first, state = 0, 0, None
        if start is not None:
            number, origin = start["pool"], start
            if start["before"] is not None:
                number, origin = number - 1, start["before"]
            first, state = origin["first"], origin["dataset"]
            if state is not None:
                stream.load_state_dict(copy.deepcopy(state))
        ahead: _Pool | None = None
        for table in stream.iter(batch_size=self.pool):
            if ahead is not None:
                yield ahead
            encoded = table if self.encode is None else self.encode(table, first)
            ahead = _Pool(number, first, state, encoded, last=False)
            number, first, state = number + 1, first + len(table), copy.deepcopy(stream.state_dict())
        if ahead is not None:
            yield ahead._replace(last=True)

    def _opened(self, table: pa.Table) -> RaggedRows:
        return RaggedRows(
            datasets.Dataset(InMemoryTable(table)),
            self.inputs,
            self.targets,
            sequence_targets=self.sequence_targets,
            max_length=self.max_tokens if self.overlong == "truncate" else None,
        )

    def _admitted(self, lengths: Ints, numbers: Ints) -> Ints:
        """Indices of the rows that the policies keep; raises as they say."""
        try:
            self._policy.check(0, lengths)
        except ValueError as error:
            raise ValueError(f"among the rows {numbers[0]} to {numbers[-1]} of the stream: {error}") from error
        kept = self._policy.admit(lengths)[0]
        return np.arange(lengths.size) if kept is None else kept

    @cached_property
    def _per_step(self) -> tuple[float, float]:
        """Tokens and sequences of a step, by the first pool that has any."""
        for pool in self._pools(0, self.num_replicas, self.rank, None):
            lengths = self._opened(pool.table).lengths
            lengths = lengths[self._admitted(lengths, pool.first + np.arange(lengths.size))]
            if lengths.size:
                longest = learn_buckets(lengths, self._budget, self._cost)
                none = np.zeros(lengths.size, bool)
                steps = (
                    form_batches(lengths, none, longest, self._budget, None, all_rows=True)[2] / self.num_replicas
                )
                return lengths.sum() / steps, lengths.size / steps
        raise ValueError("the stream has no row that is kept: there is nothing to learn from")

    @property
    def _budget(self) -> Budget:
        return Budget(self.max_tokens, self.max_sequences, self.budget)

    @property
    def _cost(self) -> StepCost:
        return StepCost() if self.cost is None else self.cost

    @property
    def _policy(self) -> Policy:
        return Policy(self.max_tokens, self.overlong, self.empty)


class _Pool(NamedTuple):
    """Rows that were read together."""

    number: int
    first: int  # number of the first row in the share
    state: dict[str, Any] | None  # the dataset's before them
    table: pa.Table
    last: bool


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
        stream = self.dataset
        if self._epoch_of is not None:
            stream.set_epoch(self._epoch_of())
        resume, self._resume = self._resume, None
        if resume is not None and resume["epoch"] != int(stream.epoch):
            resume = None
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
            ValueError: The state is of other settings: a stream cannot be dealt anew.
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
            "pool": stream.pool,
            "seed": stream.seed,
            "shuffle": stream.shuffle,
            "max_tokens": stream.max_tokens,
            "max_sequences": stream.max_sequences,
            "budget": stream.budget,
            "overlong": stream.overlong,
            "empty": stream.empty,
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


def first_rows(dataset: datasets.IterableDataset, rows: int) -> datasets.Dataset:
    """The first rows of a stream as a dataset, to learn from."""
    found = list(dataset.take(rows))
    if not found:
        raise ValueError("the stream has no rows: there is nothing to learn from")
    return datasets.Dataset.from_list(found, features=dataset.features)
