"""Batches of rows of like length: planned once, shuffled without memory, dealt to ranks, resumable anywhere."""

import dataclasses
import hashlib
import itertools
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch.distributed
from torch.utils.data import DistributedSampler

from seqkit.data.batching.length_sort import Policy, sort_by_length
from seqkit.data.batching.permutation import Epoch, permutation_keys, within
from seqkit.data.batching.plan import Buckets, Budget, StepCost, plan_buckets
from seqkit.data.batching.plan_report import LocalBatches, alternatives
from seqkit.data.batching.position import Place, hands_left
from seqkit.data.batching.rank_assignment import deal_evenly, deal_in_turns
from seqkit.data.batching.weighted import Draws

Ints = npt.NDArray[np.int64]

_BLOCK = 1 << 15  # rows whose places are computed at once: a few milliseconds and a megabyte
_MIXING = 2  # global batches in a bucket at least, so that no batch is the same in every epoch
_SLACK = 0.03  # of the cost, for fewer and wider buckets: more rows that may meet
_VERSION = 1


class LengthBucketSampler(DistributedSampler[list[int]]):
    """Yields whole batches of rows of like length, as lists of dataset rows, longest first.

    Use it as ``DataLoader(dataset, sampler=sampler, batch_size=None)``, where the dataset receives the list of
    rows (in Lightning always this form: it is left alone on any number of devices), or as
    ``DataLoader(dataset, batch_sampler=sampler)``.

    The rows are sorted by length and cut into buckets, by dynamic programming over the histogram of lengths
    (`plan_buckets`). A global batch, the batches of all ranks in one step, holds rows of
    one bucket, always the same number of them: as many as fit the budget whichever they are. Only one global
    batch of an epoch, from the shortest rows, may hold fewer. Which rows meet is uniformly random within a
    bucket, the order of the batches over the whole epoch, both anew each epoch. It is a pure function of the
    lengths, the arguments and the epoch, and each step is computed when it is asked for: an epoch or a resume
    costs nothing to begin, and no list of an epoch's length exists.

    A global batch is dealt to the ranks longest first, each row to the rank that has least
    (`deal_evenly`), so that any two hold equally many sequences (to one in the short
    batch), their longest are alike and their tokens differ by less than the batch's longest sequence.
    All ranks take ``len(sampler)`` steps, each row is seen once. Only where the short batch has fewer rows than
    there are ranks does a rank yield an empty list.

    Args:
        lengths: (rows,) number of tokens of each row: array, list, tensor or memory map of integers. Not kept.
            Of several sequences a row (rows, columns): a row counts with its longest, so that the budget holds
            for each column.
        max_tokens: Cap on a local batch, never exceeded but by an over-long row alone (``overlong="solo"``).
        max_sequences: Cap on a local batch's number of sequences.
        budget: What ``max_tokens`` counts: ``"packed"`` the tokens, ``"padded"`` sequences × longest, B × T.
        batch_multiple: Number of sequences of a local batch is a multiple of it, unless not even that many fit.
        shuffle: Without it the epochs are all the same: batches of neighbours in length, longest first.
        seed: Of the shuffle.
        overlong: A row longer than ``max_tokens``: raise, drop it, count it as cut to ``max_tokens`` (the dataset
            must cut it), or give it a batch of its own.
        empty: A row of length 0: raise or drop it.
        weights: (rows,) Draw rows in proportion to these, as many an epoch as there are rows, instead of each
            once: a row comes as often as its share of the weights says, to one, and exactly so on average over
            the epochs; with equal weights each comes once (:class:`seqkit.data.batching.weighted.Draws`).
        cost: What the plan minimises; see :class:`~seqkit.data.batching.plan.StepCost`.
        num_buckets: Largest number of buckets; by default the fewest whose cost, that of the
            tokens apart, is within 3 % of the least.
        longest_first: Begin each epoch with the heaviest batch there can be, so that memory runs out at once or
            never: no rank ever gets more (tokens, or padded area) than the fullest does there.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This rank.

    Attributes:
        dropped: How many rows were dropped, by reason.
        tokens_per_step: Mean number of tokens of a global batch, the same in every epoch (with weights, the mean
            over the epochs).
        sequences_per_step: Mean number of sequences of a global batch, the same in every epoch.

    Raises:
        TypeError: Lengths are not integers.
        ValueError: No budget; lengths that are none, of another shape, negative or all zero; an over-long or
            empty row under the policy "raise"; weights that are not one a row, negative, not finite or all zero.
    """

    def __init__(
        self,
        lengths: npt.ArrayLike,
        *,
        max_tokens: int | None = None,
        max_sequences: int | None = None,
        budget: Literal["packed", "padded"] = "packed",
        batch_multiple: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        overlong: Literal["raise", "drop", "truncate", "solo"] = "raise",
        empty: Literal["raise", "drop"] = "raise",
        weights: npt.ArrayLike | None = None,
        cost: StepCost | None = None,
        num_buckets: int | None = None,
        longest_first: bool = False,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        if max_tokens is None and max_sequences is None:
            raise ValueError(
                "neither max_tokens nor max_sequences is given: a batch needs a budget; e.g. max_tokens=4096"
            )
        if seed < 0:
            raise ValueError(f"seed={seed}: must not be negative")
        for name, value in (
            ("max_tokens", max_tokens),
            ("max_sequences", max_sequences),
            ("batch_multiple", batch_multiple),
            ("num_buckets", num_buckets),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if running else 1
        if rank is None:
            rank = torch.distributed.get_rank() if running else 0

        counted = np.asarray(lengths)
        if counted.ndim == 2 and counted.shape[1]:
            counted = counted.max(1)
        if weights is not None and np.shape(weights) != counted.shape:
            raise ValueError(f"weights of shape {np.shape(weights)} for {counted.size} rows: give one weight a row")
        self._order, self._histogram, self.dropped = sort_by_length(counted, Policy(max_tokens, overlong, empty))
        if self._histogram.num_rows > 1 and self._histogram.values.size == 1 and overlong != "truncate":
            warnings.warn(
                f"all {self._histogram.num_rows} rows have length {self._histogram.values[0]}: there is nothing "
                "to bucket by, only the budget applies; if the rows do differ, these are not their lengths",
                stacklevel=2,
            )
        tokens: float = self._histogram.num_tokens
        self._draws: Draws | None = None
        if weights is not None:
            self._draws = Draws.of(weights, self._order, self._histogram)
            self._histogram, tokens = self._draws.lengths, self._draws.tokens
        rows = range(self._histogram.num_rows)  # all that the base class wants of a dataset is its size
        super().__init__(rows, num_replicas, rank, shuffle, seed)  # type: ignore[arg-type]
        self.budget = Budget(max_tokens, max_sequences, budget, batch_multiple)
        self.cost = StepCost() if cost is None else cost
        self.num_buckets = num_buckets
        self.overlong = overlong
        self.empty = empty
        self.longest_first = longest_first
        self.buckets = self._buckets(num_replicas)
        self.num_samples = self.buckets.num_steps  # what DistributedSampler calls the length
        self.total_size = self.num_samples * num_replicas
        self.tokens_per_step = tokens / self.num_samples
        self.sequences_per_step = self._histogram.num_rows / self.num_samples
        self.consumed = 0
        self._resumed: Place | None = None
        self._fingerprint: str | None = None

    @property
    def sampler(self) -> "LengthBucketSampler":
        """Itself: Lightning looks for ``set_epoch`` on a batch sampler's ``sampler``."""
        return self

    def __len__(self) -> int:
        """Number of batches that each rank gets in an epoch: the same for all ranks and epochs."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.consumed = self._place().consumed

    def __iter__(self) -> Iterator[list[int]]:
        """This rank's batches of the epoch; of the epoch that a loaded state is in, only the remaining ones."""
        return _Iteration(self)

    def _batches(self) -> Iterator[list[int]]:
        place = self._place()
        epoch, plan = self._epoch(place.buckets, place.epoch), place.buckets
        begun = min(place.step + 1, plan.num_steps)
        sizes, positions = epoch.batches(place.step, begun)
        positions = self._undealt(positions, plan.world, place.dealt)
        if sizes.size:
            hands = hands_left(plan.world, place.dealt)
            batches = self._shares(np.array([positions.size]), positions, hands, place.epoch)
            yield from itertools.islice(batches, place.turns, None)
        block = self._block(plan)
        for start in range(begun, plan.num_steps, block):
            sizes, positions = epoch.batches(start, min(start + block, plan.num_steps))
            yield from self._shares(sizes, positions, plan.world, place.epoch)

    def _shares(self, sizes: Ints, positions: Ints, hands: int, epoch: int) -> Iterator[list[int]]:
        """This rank's rows of global batches, in as many turns as the ranks need to take up all hands."""
        turns = -(-hands // self.num_replicas)
        hand = self._deal(sizes, positions, turns * self.num_replicas)
        turn, rank = np.divmod(hand, self.num_replicas)
        mine = np.flatnonzero(rank == self.rank)
        batch = np.repeat(np.arange(sizes.size) * turns, sizes)[mine] + turn[mine]
        if turns > 1:
            sort = np.argsort(batch, kind="stable")
            mine, batch = mine[sort], batch[sort]
        chosen = positions[mine]
        if self._draws is not None:
            chosen = self._draws.rows(chosen, self.seed, epoch if self.shuffle else 0)
        rows: list[int] = self._order[chosen].tolist()
        begin = 0
        for end in np.cumsum(np.bincount(batch, minlength=sizes.size * turns)).tolist():
            yield rows[begin:end]
            begin = end

    def _deal(self, sizes: Ints, positions: Ints, hands: int) -> Ints:
        """Whose hand the rows of global batches go to."""
        if self.longest_first:  # no hand may get more than that of the heaviest rows does
            return deal_in_turns(within(sizes), hands)
        return deal_evenly(sizes, self._histogram.lengths(positions), hands)

    def _undealt(self, positions: Ints, hands: int, dealt: tuple[tuple[int, int], ...]) -> Ints:
        """What is left of a global batch after ``dealt`` (ranks, batches each had)."""
        for ranks, turns in dealt:
            hands = -(-hands // ranks) * ranks
            positions = positions[self._deal(np.array([positions.size]), positions, hands) >= ranks * turns]
            hands -= ranks * turns
        return positions

    # -- what it is worth -------------------------------------------------------------------------------------

    def local_batches(self, epoch: int | None = None) -> LocalBatches:
        """Sizes of all ranks' batches of an epoch (of the current one by default): three numbers a batch."""
        ranks = self.num_replicas
        order = self._epoch(self.buckets, self.epoch if epoch is None else epoch)
        block = self._block(self.buckets)
        parts = []
        for start in range(0, self.num_samples, block):
            sizes, positions = order.batches(start, min(start + block, self.num_samples))
            lengths, inside = self._histogram.lengths(positions), within(sizes)
            batch = np.repeat(np.arange(sizes.size) * ranks, sizes) + self._deal(sizes, positions, ranks)
            count = sizes.size * ranks
            longest = np.zeros(count, np.int64)
            first = inside < ranks  # the first card that each hand gets is its longest
            longest[batch[first]] = lengths[first]
            parts.append((np.bincount(batch, minlength=count), np.bincount(batch, lengths, count), longest))
        columns = (
            np.concatenate(column).astype(np.int64).reshape(-1, ranks) for column in zip(*parts, strict=True)
        )
        return LocalBatches(*columns)

    def report(self) -> dict[str, Any]:
        """What the plan is worth, in plain types; cost is that of :attr:`cost`, per token of all ranks.

        Keys: ``rows``, ``tokens``, ``dropped``, ``steps``, ``buckets`` (each with ``longest``, ``rows``,
        ``sequences`` of a local batch and ``steps``), ``tokens_per_step``, ``sequences_per_step``, ``waste``,
        ``correlation`` of the mean lengths of successive steps, ``imbalance`` of the ranks' tokens (99th
        percentile), ``cost``, and ``alternatives``: see :func:`seqkit.data.batching.plan_report.alternatives`.
        """
        batches = self.local_batches()
        plan = self.buckets
        columns = (self._histogram.lengths(plan.starts[:-1]), plan.rows, plan.sequences, plan.steps)
        names = ("longest", "rows", "sequences", "steps")
        return {
            "rows": self._histogram.num_rows,
            "tokens": self._histogram.num_tokens,
            "dropped": dict(self.dropped),
            "steps": self.num_samples,
            "buckets": [dict(zip(names, map(int, bucket), strict=True)) for bucket in zip(*columns, strict=True)],
            "tokens_per_step": self.tokens_per_step,
            "sequences_per_step": self.sequences_per_step,
            "waste": batches.waste,
            "correlation": batches.correlation,
            "imbalance": batches.imbalance,
            "cost": batches.cost(self.cost) / self._histogram.num_tokens,
            "alternatives": alternatives(self._histogram, self.budget, self.cost, plan),
        }

    # -- the plan ---------------------------------------------------------------------------------------------

    def _block(self, plan: Buckets) -> int:
        """Steps that are computed at once."""
        return max(1, _BLOCK * plan.num_steps // self._histogram.num_rows)

    def _buckets(self, world: int) -> Buckets:
        """The plan of global batches of ``world`` local ones."""
        mixing, slack = (_MIXING, _SLACK) if self.shuffle else (1, 0.0)
        buckets = plan_buckets(
            self._histogram,
            self.budget,
            self.cost,
            world=world,
            mixing=mixing,
            num_buckets=self.num_buckets,
            slack=slack if self.num_buckets is None else 0.0,
        )
        return buckets.split(self._heaviest(buckets)) if self.longest_first else buckets

    def _heaviest(self, buckets: Buckets) -> int:
        """The bucket whose first global batch, its heaviest, gives a rank the most that any rank ever gets."""
        most = []
        for start, size in zip(buckets.starts, buckets.global_sequences, strict=False):
            index = np.arange(min(size, self._histogram.num_rows - start))
            lengths, hand = self._histogram.lengths(start + index), deal_in_turns(index, buckets.world)
            tokens = np.bincount(hand, lengths)
            padded = np.bincount(hand) * lengths[: tokens.size]
            most.append((tokens if self.budget.kind == "packed" else padded).max())
        return int(np.argmax(most))

    def _epoch(self, buckets: Buckets, epoch: int) -> Epoch:
        keys = permutation_keys(self.seed, epoch, buckets.sequences.size + 1) if self.shuffle else None
        first = None
        if self.longest_first:
            first = int(buckets.steps[: self._heaviest(buckets)].sum())
        return Epoch(buckets, keys, first)

    # -- state ------------------------------------------------------------------------------------------------

    def _place(self) -> "Place":
        """Where the next iteration begins."""
        if self._resumed is not None and self._resumed.epoch == self.epoch:
            return self._resumed
        return Place(self.epoch, self.buckets, 0, (), 0, 0)

    def advance(self, batches: int = 1) -> None:
        """Counts batches as consumed: call it after each step, as only the loop knows what workers prefetch."""
        self.consumed += batches

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Where the epoch stands: plain types, less than 1 kB as JSON, the same on all ranks.

        Args:
            step: Batches of this epoch that the loop has consumed, those before a resume included (Lightning's
                ``batch_idx`` + 1); by default what :meth:`advance` has counted.

        Raises:
            ValueError: ``step`` is less than the loaded state's or more than the epoch has.
        """
        place = self._place()
        ranks = self.num_replicas
        step = self.consumed if step is None else step
        turns = step - place.consumed + place.turns
        first = -(-hands_left(place.buckets.world, place.dealt) // ranks)
        done, dealt = 0, place.dealt
        if turns >= first:
            done, turns = divmod(turns - first, -(-place.buckets.world // ranks))
            done, dealt = done + 1, ()
        done += place.step
        if step < place.consumed or done + bool(turns) > place.buckets.num_steps:
            most = place.consumed + self.remaining
            raise ValueError(
                f"step={step}: epoch {self.epoch} has {most} batches, of which {place.consumed} to {most} can be "
                "consumed here"
            )
        if turns:
            dealt = (*dealt, (ranks, turns))
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "batches": step,
            "step": done,
            "world": place.buckets.world,
            "dealt": [list(part) for part in dealt],
            "rows": self._rows_fingerprint(),
            "buckets": _digest(place.buckets.starts, place.buckets.sequences),
            "plan": self._configuration(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes to where the state was taken: its epoch's next iterations yield what remains of that epoch.

        On another number of ranks the epoch is finished with the global batches it was begun with, each dealt
        to the ranks that there are now: in one step to more of them, in several successive ones to fewer. No row
        is lost or repeated, no budget exceeded. :attr:`remaining` says how many batches that makes; the epochs
        after it are planned for the new number.

        Raises:
            ValueError: The state is of other lengths or another configuration.
        """
        mine = {"version": _VERSION, "rows": self._rows_fingerprint(), **self._configuration()}
        other = {"version": state_dict["version"], "rows": state_dict["rows"], **state_dict["plan"]}
        differing = [
            f"{key} {other.get(key)!r} in the state, {mine.get(key)!r} here"
            for key in {**mine, **other}
            if mine.get(key) != other.get(key)
        ]
        world = state_dict["world"]
        buckets = self.buckets if world == self.num_replicas else self._buckets(world)
        digest = _digest(buckets.starts, buckets.sequences)
        if not differing and digest != state_dict["buckets"]:
            differing.append(f"buckets {state_dict['buckets']!r} in the state, {digest!r} here")
        if differing:
            raise ValueError(
                f"the sampler's state does not belong to these data and settings: {'; '.join(differing)}; "
                "resume with those the state was saved with, or start a new run"
            )
        dealt, turns = [(ranks, done) for ranks, done in state_dict["dealt"]], 0
        if dealt and dealt[-1][0] == self.num_replicas:
            turns = dealt.pop()[1]
        self.epoch = state_dict["epoch"]
        self.consumed = state_dict["batches"]
        self._resumed = None
        if self.consumed:  # an epoch that was not begun is planned for the ranks that there are now
            self._resumed = Place(self.epoch, buckets, state_dict["step"], tuple(dealt), turns, self.consumed)

    @property
    def remaining(self) -> int:
        """Number of batches that the next iteration yields."""
        place = self._place()
        if place.step == place.buckets.num_steps:
            return 0
        hands = hands_left(place.buckets.world, place.dealt)
        later = (place.buckets.num_steps - place.step - 1) * -(-place.buckets.world // self.num_replicas)
        return -(-hands // self.num_replicas) - place.turns + later

    @property
    def epoch_batches(self) -> int:
        """Number of batches of the current epoch, those before a resume included.

        It is ``len`` but for an epoch that was begun on another number of ranks.
        """
        return self._place().consumed + self.remaining

    def _rows_fingerprint(self) -> str:
        if self._fingerprint is None:
            edges = () if self._draws is None else (self._draws.edges,)
            digest = _digest(self._order, self._histogram.values, self._histogram.starts, *edges)
            self._fingerprint = f"{self._histogram.num_rows} rows, {digest}"
        return self._fingerprint

    def _configuration(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "shuffle": self.shuffle,
            "longest_first": self.longest_first,
            "overlong": self.overlong,
            "empty": self.empty,
            "num_buckets": self.num_buckets,
            **dataclasses.asdict(self.budget),
            **dataclasses.asdict(self.cost),
        }


class _Iteration(Iterator[list[int]]):
    """A rank's batches of an epoch, of which those taken count as consumed in its state.

    torchdata's StatefulDataLoader keeps the state of the iterator that it takes batches from, as it was before
    its workers fetched ahead.
    """

    def __init__(self, sampler: LengthBucketSampler) -> None:
        self._sampler = sampler
        self._batches: Iterator[list[int]] | None = None
        self._taken = 0

    def __next__(self) -> list[int]:
        if self._batches is None:  # the epoch is that of the first batch
            self._batches = self._sampler._batches()
        batch = next(self._batches)
        self._taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        return self._sampler.state_dict(self._sampler._place().consumed + self._taken)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sampler.load_state_dict(state_dict)
        self._batches, self._taken = None, 0


def _digest(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
