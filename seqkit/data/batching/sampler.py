"""The length-bucketed batch sampler: planned once, shuffled without memory, shared by the ranks, resumable."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch.utils.data import DistributedSampler

from seqkit.data.batching.epoch_part import Planner
from seqkit.data.batching.length_sort import Policy, sort_by_length
from seqkit.data.batching.plan import Budget, StepCost
from seqkit.data.batching.plan_report import LocalBatches, plan_report
from seqkit.data.batching.position import ConsumedPart, ResumePosition, rebuild_position
from seqkit.data.batching.rank_assignment import rank_and_world_size
from seqkit.data.batching.state import fingerprint, require_equal_settings
from seqkit.data.batching.weighted import Draws
from seqkit.options import MAX_SEED, flag, integer, optional_integer

_VERSION = 2  # of the state


class LengthBucketSampler(DistributedSampler[list[int]]):
    """Yield batches of rows of similar length, as lists of dataset rows, longest first.

    Use it as ``DataLoader(dataset, sampler=sampler, batch_size=None)``, where the dataset receives the list of
    rows, or as ``DataLoader(dataset, batch_sampler=sampler)``. In Lightning use the first form: Lightning does not
    replace it, on any number of devices.

    The rows are sorted by length and divided into buckets by dynamic programming over the histogram of lengths
    (:func:`~seqkit.data.batching.plan.plan_buckets`). A global batch, the batches of all ranks in one step, has
    rows of one bucket. Within a bucket all global batches have the same number of rows: as many as fit the budget,
    whichever rows they are. Only one global batch of an epoch, with the shortest rows, may have fewer. In each
    epoch the rows are shuffled uniformly within their bucket, and the batches over the whole epoch. The batches are
    a pure function of the lengths, the arguments and the epoch. Each step is computed when it is needed: an epoch
    or a resume starts at once, and no list of an epoch's length exists.

    The rows of a global batch are assigned to the ranks longest first, each row to the rank with the fewest tokens
    (:func:`~seqkit.data.batching.rank_assignment.assign_evenly`). So the local batches of a step have equally many
    sequences (up to one in the short batch), similar longest sequences, and numbers of tokens that differ by less
    than the longest sequence. All ranks take ``len(sampler)`` steps, each row is seen once. Only if the short batch
    has fewer rows than there are ranks, some ranks yield an empty list.

    Args:
        lengths: (rows,) number of tokens of each row: array, list, tensor or memory map of integers. Not kept.
            (rows, columns) for several sequences a row: the longest counts, so the budget holds for each column.
        max_tokens: Limit on the tokens of a local batch; only an over-long row alone exceeds it
            (``overlong="solo"``).
        max_sequences: Limit on the number of sequences of a local batch.
        budget: What ``max_tokens`` counts: ``"packed"`` the tokens, ``"padded"`` sequences × longest, B × T.
        batch_multiple: The number of sequences of a local batch is a multiple of this, unless fewer fit.
        shuffle: Whether to shuffle. Without it all epochs are equal: batches of neighbours in length, longest
            first.
        seed: Seed of the shuffle.
        overlong: A row longer than ``max_tokens``: raise, drop it, count it as cut to ``max_tokens`` (the dataset
            must cut it), or give it a batch of its own.
        empty: A row of length 0: raise or drop it.
        weights: (rows,) Draw rows in proportion to these weights, as many in an epoch as there are rows, instead of
            each row once (:class:`~seqkit.data.batching.weighted.Draws`).
        cost: What the plan minimises; see :class:`~seqkit.data.StepCost`.
        num_buckets: Largest number of buckets; by default the fewest whose cost, without the cost per token, is
            within 3 % of the least.
        longest_first: Begin each epoch with the heaviest possible batch, so that memory runs out at once or never:
            no rank ever gets more tokens (or padded area) than the fullest rank gets there.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This process's rank; by default that of torch.distributed, or 0.

    Attributes:
        dropped: Number of dropped rows by reason.
        buckets: The plan of an epoch.
        tokens_per_step: Mean number of tokens of a global batch, equal for all epochs (with ``weights``, the mean
            over the epochs).
        sequences_per_step: Mean number of sequences of a global batch, equal for all epochs.

    Raises:
        TypeError: The lengths are not integers.
        ValueError: There is no budget; there are no lengths, or they have another shape, are negative or all zero;
            a row is over-long or empty under the policy "raise"; the weights are not one a row, or are negative,
            not finite or all zero.
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
        limits = Budget(max_tokens, max_sequences, budget, batch_multiple)
        num_buckets = optional_integer("num_buckets", num_buckets, 1)
        seed = integer("seed", seed, 0, MAX_SEED)
        flag("shuffle", shuffle)
        flag("longest_first", longest_first)
        counts = np.asarray(lengths)
        if counts.ndim == 2 and counts.shape[1]:
            counts = counts.max(1)
        if weights is not None and np.shape(weights) != counts.shape:
            raise ValueError(f"weights of shape {np.shape(weights)} for {counts.size} rows: give one weight a row")
        self._policy = Policy(max_tokens, overlong, empty)
        self._sorted_rows, self._histogram, self.dropped = sort_by_length(counts, self._policy)
        if self._histogram.num_rows > 1 and self._histogram.values.size == 1 and overlong != "truncate":
            warnings.warn(
                f"all {self._histogram.num_rows} rows have length {self._histogram.values[0]}: there is nothing "
                "to bucket by, only the budget applies; if the rows do differ, these are not their lengths",
                stacklevel=2,
            )
        tokens: float = self._histogram.num_tokens
        self._draws: Draws | None = None
        if weights is not None:
            self._draws = Draws.from_weights(weights, self._sorted_rows, self._histogram)
            self._histogram, tokens = self._draws.lengths, self._draws.tokens

        rank, world_size = rank_and_world_size(rank, num_replicas)
        rows = range(self._histogram.num_rows)  # the base class needs only the size of the dataset
        super().__init__(rows, world_size, rank, shuffle, seed)  # type: ignore[arg-type]
        self.planner = Planner(
            limits,
            StepCost() if cost is None else cost,
            num_buckets,
            shuffle,
            seed,
            longest_first,
        )
        self.buckets = self.planner.plan(self._histogram, world_size)
        self.num_samples = self.buckets.num_steps  # DistributedSampler's name for the length
        self.total_size = self.num_samples * world_size
        self.tokens_per_step = tokens / self.num_samples
        self.sequences_per_step = self._histogram.num_rows / self.num_samples
        self.consumed = 0
        self._position = self._start_of(self.epoch)
        self._rows_fingerprint: str | None = None

    @property
    def sampler(self) -> "LengthBucketSampler":
        """Itself: Lightning looks for ``set_epoch`` on a batch sampler's ``sampler``."""
        return self

    def __len__(self) -> int:
        """Return the number of batches of an epoch on each rank, equal for all ranks and epochs."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields, from its beginning.

        The current epoch keeps the position of a loaded state.
        """
        if epoch != self.epoch:
            self.epoch = epoch
            self.consumed = 0
            self._position = self._start_of(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        """Return an iterator of this rank's batches of the epoch, after a loaded state of the remaining ones."""
        return _Iteration(self)

    def local_batches(self, epoch: int | None = None) -> LocalBatches:
        """Return the sizes of all ranks' batches of an epoch, by default the current one."""
        return LocalBatches.from_part(self._start_of(self.epoch if epoch is None else epoch).part)

    def report(self) -> dict[str, Any]:
        """Return the statistics of the plan, see :func:`seqkit.data.batching.plan_report.plan_report`."""
        part = self._start_of(self.epoch).part
        report = plan_report(part, self.planner.budget, self.planner.cost, self.dropped)
        return report | {"tokens_per_step": self.tokens_per_step}  # with weights, the mean over the epochs

    # Resuming.

    @property
    def remaining(self) -> int:
        """Number of batches that the next iteration yields."""
        return self._position.remaining

    @property
    def epoch_batches(self) -> int:
        """Number of batches of the current epoch, those before a resume included.

        It differs from ``len`` only in an epoch that was begun on another number of ranks.
        """
        return self._position.consumed + self._position.remaining

    def advance(self, batches: int = 1) -> None:
        """Count batches as consumed. Call it after each step: only the loop knows what workers prefetched."""
        self.consumed += batches

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Return the position in the epoch: plain types, less than 1 kB as JSON, identical on all ranks.

        Keys: ``version`` of the format; ``epoch``; ``batches``, the epoch's batches that each rank has consumed;
        ``parts``, the epoch's parts as [number of ranks, steps consumed, fingerprint of the plan], more than one
        only if the number of ranks changed in mid-epoch; ``rows``, a fingerprint of the lengths; ``settings``.

        Args:
            step: Batches of this epoch that the loop has consumed, those before a resume included (Lightning's
                ``batch_idx`` + 1); by default those that :meth:`advance` has counted.

        Raises:
            ValueError: ``step`` is before the loaded state's position or after the end of the epoch.
        """
        step = self.consumed if step is None else step
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "batches": step,
            "parts": [list(part) for part in self._position.parts_after(step)],
            **self._identity(),
            "settings": self._settings(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the position at which the state was saved: the next iteration yields what remains of its epoch.

        On the same number of ranks these are exactly the batches that the interrupted run would have yielded. On
        another number of ranks the remaining rows are planned again for the ranks that there are now: no row is
        lost or repeated, and no budget exceeded. This takes time proportional to the number of rows. The number of
        ranks may change several times in one epoch. An epoch of which nothing was consumed, and all later epochs,
        are planned for the ranks that there are now.

        Raises:
            ValueError: The state belongs to other lengths or other settings.
        """
        require_equal_settings("sampler", {"version": state_dict.get("version")}, {"version": _VERSION})
        saved = {"rows": state_dict["rows"]} | state_dict["settings"]
        require_equal_settings("sampler", saved, self._identity() | self._settings())
        parts = [ConsumedPart(*part) for part in state_dict["parts"]]
        position = self._start_of(state_dict["epoch"], parts[0].world_size)
        position = rebuild_position(self.planner, position.part, position.epoch, parts)
        if not position.consumed:
            position = self._start_of(position.epoch)
        elif position.part.buckets.world_size != self.num_replicas:
            position = position.replan(self.planner, self.num_replicas)
        self.epoch = position.epoch
        self.consumed = position.consumed
        self._position = position

    # Private.

    def _start_of(self, epoch: int, world_size: int | None = None) -> ResumePosition:
        """Return the start of an epoch, by default for the ranks that there are now."""
        buckets = self.buckets
        if world_size not in (None, self.num_replicas):
            buckets = self.planner.plan(self._histogram, world_size)
        return ResumePosition(epoch, (), self.planner.first_part(self._histogram, buckets, epoch), 0)

    def _batches(self, position: ResumePosition) -> Iterator[list[int]]:
        """Yield this rank's rows of each step from a position on."""
        for sizes, positions, _, ranks in position.part.blocks(position.step):
            chosen = np.flatnonzero(ranks == self.rank)
            step = np.repeat(np.arange(sizes.size), sizes)[chosen]
            positions = positions[chosen]
            if self._draws is not None:
                positions = self._draws.positions(positions, self.seed, position.epoch if self.shuffle else 0)
            rows: list[int] = self._sorted_rows[positions].tolist()
            ends = np.cumsum(np.bincount(step, minlength=sizes.size)).tolist()
            yield from (rows[start:end] for start, end in itertools.pairwise([0, *ends]))

    def _identity(self) -> dict[str, str]:
        """Return the number of rows and a hash of their lengths."""
        if self._rows_fingerprint is None:
            edges = () if self._draws is None else (self._draws.edges,)
            digest = fingerprint(self._sorted_rows, self._histogram.values, self._histogram.starts, *edges)
            self._rows_fingerprint = f"{self._histogram.num_rows} rows, {digest}"
        return {"rows": self._rows_fingerprint}

    def _settings(self) -> dict[str, Any]:
        return self.planner.settings() | {"overlong": self._policy.overlong, "empty": self._policy.empty}


class _Iteration(Iterator[list[int]]):
    """A rank's batches of an epoch, with the state after those that were taken.

    torchdata's StatefulDataLoader saves the state of the iterator that it takes batches from, as it was before its
    workers prefetched.
    """

    def __init__(self, sampler: LengthBucketSampler) -> None:
        self._sampler = sampler
        self._batches: Iterator[list[int]] | None = None
        self._taken = 0

    def __next__(self) -> list[int]:
        if self._batches is None:  # the epoch may still be set between iter() and the first next()
            self._batches = self._sampler._batches(self._sampler._position)
        batch = next(self._batches)
        self._taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        return self._sampler.state_dict(self._sampler._position.consumed + self._taken)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sampler.load_state_dict(state_dict)
        self._batches, self._taken = None, 0
