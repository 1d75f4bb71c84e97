"""Batches of rows of like length out of a stream, which nobody can sort: a pool of rows at a time."""

import base64
import copy
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
from torch.utils.data import IterableDataset, get_worker_info

from seqkit.batch import Batch
from seqkit.data.batching.length_sort import Policy
from seqkit.data.batching.plan import Budget, StepCost
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.streaming.pool import form_batches, learn_buckets

Encode = Callable[[pa.Table, int], pa.Table]
Ints = npt.NDArray[np.int64]


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
        inputs: Columns; see :class:`~seqkit.data.RaggedRows`, also for the next four.
        targets: Columns.
        sequence_targets: Columns.
        nested: Columns.
        unaligned: Columns.
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
        nested: Sequence[str] = (),
        unaligned: Sequence[str] = (),
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
        self.nested, self.unaligned = list(nested), list(unaligned)
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
                waiting = _places(start["before"]["waiting"])
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
            before = {"waiting": _text(waiting, len(pool.table)), "first": pool.first, "dataset": pool.state}

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
            datasets.Dataset(table),
            self.inputs,
            self.targets,
            sequence_targets=self.sequence_targets,
            nested=self.nested,
            unaligned=self.unaligned,
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
        """Tokens and sequences of a step, by the whole stream's first pool that has any: alike on all ranks."""
        for pool in self._pools(0, 1, 0, None):
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


def _text(places: Ints, size: int) -> str:
    """Some places of ``range(size)`` as text, a bit each: a state stays small whatever the pool."""
    mask = np.zeros(size, bool)
    mask[places] = True
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def _places(text: str) -> Ints:
    bits: Ints = np.flatnonzero(np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8)))
    return bits


class _Pool(NamedTuple):
    """Rows that were read together."""

    number: int
    first: int  # number of the first row in the share
    state: dict[str, Any] | None  # the dataset's before them
    table: pa.Table
    last: bool


def first_rows(dataset: datasets.IterableDataset, rows: int) -> datasets.Dataset:
    """The first rows of a stream as a dataset, to learn from."""
    found = list(dataset.take(rows))
    if not found:
        raise ValueError("the stream has no rows: there is nothing to learn from")
    return datasets.Dataset.from_list(found, features=dataset.features)
