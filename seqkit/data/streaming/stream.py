"""Batches of rows of similar length from a stream, which is read one pool of rows at a time."""

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
from datasets.distributed import split_dataset_by_node
from torch.utils.data import IterableDataset, get_worker_info

from seqkit.batch import Batch
from seqkit.data.batching.length_sort import Policy
from seqkit.data.batching.plan import Budget, StepCost
from seqkit.data.batching.rank_assignment import rank_and_world_size
from seqkit.data.rows.checks import SourceRows
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.streaming.pool import form_batches, learn_buckets
from seqkit.options import MAX_SEED, flag, integer

Encode = Callable[[pa.Table, int], pa.Table]
Ints = npt.NDArray[np.int64]


class PackedStream(IterableDataset[Batch]):
    """Yield packed batches of an iterable dataset: :class:`~seqkit.data.LengthBucketSampler` for streams.

    Rows are read into a pool. The buckets are learned from the first pool, by the same dynamic programming, and
    used for all pools. The full batches of a pool are yielded in random order. The remaining rows are added to
    the next pool, once. If a pool makes 50 batches or more, the waste is about that of the plan of a whole dataset.
    Memory holds at most two pools. The dataset shuffles the order of its shards in each epoch.

    Differences from a dataset that can be indexed: rows meet only rows that come at about the same time; each rank
    has its own buckets, so the ranks' batches of a step differ in length; the number of steps is unknown before the
    end of the epoch; :attr:`tokens_per_step` is an estimate from the first pool.

    Args:
        dataset: The stream. Each rank and each worker reads its share by
            ``datasets.distributed.split_dataset_by_node``: whole shards if their number is a multiple of the number
            of shares, otherwise every n-th row for n shares. With a shuffle buffer, resuming is inexact.
        inputs: Columns; see :class:`~seqkit.data.RaggedRows`, also for the next four.
        targets: Columns.
        sequence_targets: Columns.
        nested: Columns.
        unaligned: Columns.
        pool: Number of rows that are read together; at most twice as many are held in memory.
        encode: Called with a table of rows and the number of its first row; returns columns of numbers.
        split: Name of the split, for errors.
        max_tokens: See :class:`~seqkit.data.LengthBucketSampler`, also for the next seven.
        max_sequences: Limit on the number of sequences of a batch.
        budget: What ``max_tokens`` counts.
        shuffle: Whether shards, pools and batches are shuffled.
        seed: Seed of the shuffle.
        overlong: How a row longer than ``max_tokens`` is treated.
        empty: How a row without tokens is treated.
        cost: What the plan minimises.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This process's rank; by default that of torch.distributed, or 0.

    Attributes:
        epoch: The epoch, in memory that workers share.
        position: The position after the last batch that this process has yielded, as plain types: ``pool``, its
            number; ``batches``, those of the pool that are yielded; ``buckets``, the longest length of each;
            ``first``, the number of the pool's first row; ``dataset``, the dataset's state before it; ``before``,
            the same of the pool before, and which of its rows ``waiting`` are in this one.

    Raises:
        ValueError: ``pool`` is less than 1, or there is no budget. When iterated: what RaggedRows raises, and for
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
        split: str | None = None,
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
        pool = integer("pool", pool, 1)
        seed = integer("seed", seed, 0, MAX_SEED)
        flag("shuffle", shuffle)
        Budget(max_tokens, max_sequences, budget)  # checks the limits
        Policy(max_tokens, overlong, empty)  # checks the names
        self.rank, self.num_replicas = rank_and_world_size(rank, num_replicas)
        self.dataset = dataset
        self.inputs, self.targets, self.sequence_targets = list(inputs), list(targets), list(sequence_targets)
        self.nested, self.unaligned = list(nested), list(unaligned)
        self.pool = pool
        self.encode = encode
        self.split = split
        self.max_tokens = max_tokens
        self.max_sequences = max_sequences
        self.budget = budget
        self.shuffle = shuffle
        self.seed = seed
        self.overlong = overlong
        self.empty = empty
        self.cost = cost
        epoch = torch.zeros((), dtype=torch.int64)
        self.epoch = epoch.share_memory_()  # type: ignore[no-untyped-call]  # so persistent workers see it change
        self.position: dict[str, Any] | None = None
        self._start: dict[str, Any] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch.fill_(epoch)

    def start_at(self, position: dict[str, Any] | None) -> None:
        """Begin the next iteration in this process at a position, an earlier value of :attr:`position`."""
        self._start = position

    @property
    def tokens_per_step(self) -> float:
        """Mean number of tokens of a step on all ranks, estimated from the first pool."""
        return self._per_step[0]

    @property
    def sequences_per_step(self) -> float:
        """Mean number of sequences of a step on all ranks, estimated from the first pool."""
        return self._per_step[1]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of this rank's share of the epoch, in a worker those of this worker's share."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        start, self._start = self._start, None
        epoch, shares, share = int(self.epoch), self.num_replicas * workers, self.rank * workers + number
        longest = None if start is None else np.array(start["buckets"])
        before: dict[str, Any] | None = None  # from which the waiting rows can be read again
        held: tuple[pa.Table, Ints] | None = None  # the waiting rows, and their numbers in the share
        for pool in self._pools(epoch, shares, share, start):
            if start is not None and start["before"] is not None and before is None:
                # This is the pool before that of the position: only its waiting rows are needed.
                waiting = _unpack_bits(start["before"]["waiting"])
                held = pool.table.take(waiting), waiting + pool.first
                before = start["before"]
                continue
            table = pool.table if held is None else pa.concat_tables([held[0], pool.table])
            numbers = pool.first + np.arange(len(pool.table))
            numbers = numbers if held is None else np.concatenate([held[1], numbers])
            with SourceRows(self.split, numbers.__getitem__, self._name_share(epoch, share, shares)).name_errors():
                rows = self._packed_rows(table)
                kept = self._kept_rows(rows.lengths)
            if longest is None and kept.size:
                longest = learn_buckets(rows.lengths[kept], self._budget, self._cost)
            lengths, waited = rows.lengths[kept], kept < len(table) - len(pool.table)
            random = np.random.default_rng((self.seed, epoch, pool.number)) if self.shuffle else None
            batches: list[Ints] = []
            rest = np.zeros(0, np.int64)
            if longest is not None and kept.size:
                batches, rest, _ = form_batches(lengths, waited, longest, self._budget, random, all_rows=pool.last)
            consumed = start["batches"] if start is not None and pool.number == start["pool"] else 0
            for count, batch in enumerate(batches[consumed:], consumed + 1):
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
            rest = kept[rest]  # rows of this pool only, because no row waits twice
            held = table.take(rest), numbers[rest]
            waiting = numbers[rest] - pool.first
            before = {"waiting": _pack_bits(waiting, len(pool.table)), "first": pool.first, "dataset": pool.state}

    def _pools(self, epoch: int, shares: int, share: int, start: dict[str, Any] | None) -> Iterator["_Pool"]:
        """Yield the pools of an epoch; from a position, beginning with the pool before it."""
        stream = split_dataset_by_node(self.dataset, share, shares).with_format("arrow")
        if self.shuffle:  # the dataset orders its shards by its epoch; epoch 0 is not shuffled
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
            with SourceRows(self.split, None, self._name_share(epoch, share, shares)).name_errors():
                encoded = table if self.encode is None else self.encode(table, first)
            ahead = _Pool(number, first, state, encoded, last=False)
            number, first, state = number + 1, first + len(table), copy.deepcopy(stream.state_dict())
        if ahead is not None:
            yield ahead._replace(last=True)

    def _packed_rows(self, table: pa.Table) -> RaggedRows:
        return RaggedRows(
            datasets.Dataset(table),
            self.inputs,
            self.targets,
            sequence_targets=self.sequence_targets,
            nested=self.nested,
            unaligned=self.unaligned,
            max_length=self.max_tokens if self.overlong == "truncate" else None,
        )

    def _kept_rows(self, lengths: Ints) -> Ints:
        """Return the indices of the rows that the policy keeps, or raise for a row that it refuses."""
        self._policy.check(0, lengths)
        kept = self._policy.admit(lengths)[0]
        return np.arange(lengths.size) if kept is None else kept

    def _name_share(self, epoch: int, share: int, shares: int) -> str:
        """Return what errors say after a row's number: in what it is counted."""
        name = " of the stream" if shares == 1 else f" of share {share + 1} of {shares} of the stream"
        shuffled = self.shuffle and self.dataset.num_shards > 1
        return f"{name}, its shards shuffled for epoch {epoch}" if shuffled else name

    @cached_property
    def _per_step(self) -> tuple[float, float]:
        """Tokens and sequences of a step, estimated from the stream's first pool with rows: equal on all ranks."""
        for pool in self._pools(0, 1, 0, None):
            numbers = pool.first + np.arange(len(pool.table))
            with SourceRows(self.split, numbers.__getitem__, " of the stream").name_errors():
                lengths = self._packed_rows(pool.table).lengths
                lengths = lengths[self._kept_rows(lengths)]
            if lengths.size:
                longest = learn_buckets(lengths, self._budget, self._cost)
                none = np.zeros(lengths.size, bool)
                _, _, batches = form_batches(lengths, none, longest, self._budget, None, all_rows=True)
                steps = batches / self.num_replicas
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


def _pack_bits(numbers: Ints, size: int) -> str:
    """Write some numbers of ``range(size)`` as text with one bit for each, so that states are small."""
    mask = np.zeros(size, bool)
    mask[numbers] = True
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def _unpack_bits(text: str) -> Ints:
    """Return the numbers that :func:`_pack_bits` wrote, ascending."""
    bits: Ints = np.flatnonzero(np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8)))
    return bits


class _Pool(NamedTuple):
    """Rows that are read together."""

    number: int
    first: int  # number of its first row in the share
    state: dict[str, Any] | None  # of the dataset, before these rows
    table: pa.Table
    last: bool


def first_rows(dataset: datasets.IterableDataset, rows: int) -> datasets.Dataset:
    """Return the first rows of a stream as a dataset."""
    found = list(dataset.take(rows))
    if not found:
        raise ValueError("the stream has no rows: there is nothing to learn from")
    return datasets.Dataset.from_list(found, features=dataset.features)
