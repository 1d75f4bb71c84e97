"""Random access to a shuffled epoch: any step of it without computing the others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.plan import Buckets

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

_SMALL = 64  # domains up to this size need more rounds until a χ² test finds nothing
_ROUNDS_SMALL, _ROUNDS = 16, 8
_ODD = np.uint32(0x9E3779B1)  # multipliers of xxHash: consecutive words come out unrelated
_MIX = np.uint32(0x85EBCA77)


def permutation_keys(seed: int, epoch: int, count: int) -> Words:
    """Keys of ``count`` independent permutations, a pure function of ``(seed, epoch)``: (rounds, count)."""
    words = np.random.SeedSequence((seed, epoch)).generate_state(count * _ROUNDS_SMALL, np.uint32)
    return np.ascontiguousarray(words.reshape(count, _ROUNDS_SMALL).T)


def permute(index: Ints, size: Ints, which: Ints, keys: Words) -> Ints:
    """Image of each ``index`` under the pseudo-random permutation ``which`` of ``range(size)``.

    A Feistel network over the smallest power of two that holds ``size``, walked along its cycle until the value
    falls inside ``range(size)`` (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002): less than
    two passes an element, no memory beyond the arguments.

    Args:
        index: (M,) elements, each in ``range(size)``.
        size: (M,) size of the domain that each element belongs to, at most 2**62.
        which: (M,) column of ``keys`` for each element; elements of one domain share it.
        keys: (rounds, count), from :func:`permutation_keys`.
    """
    out = index.copy()
    small = size <= _SMALL
    for rounds, domain in ((_ROUNDS_SMALL, small & (size > 1)), (_ROUNDS, ~small)):
        walking = np.flatnonzero(domain)
        while walking.size:
            within_size = size[walking]
            image = _feistel(out[walking], within_size, which[walking], keys[:rounds])
            out[walking] = image
            walking = walking[image >= within_size]
    return out


def _feistel(index: Ints, size: Ints, which: Ints, keys: Words) -> Ints:
    """A permutation of the smallest power of two that holds ``size``, with the keys (rounds, count)."""
    bits = np.frexp((size - 1).astype(np.float64))[1]  # of the largest element
    shift = bits >> 1
    masks = ((1 << (bits - shift)) - 1).astype(np.uint32), ((1 << shift) - 1).astype(np.uint32)
    halves = [(index >> shift).astype(np.uint32), index.astype(np.uint32) & masks[1]]
    for turn, key in enumerate(keys):
        side = turn % 2
        word = key.take(which)
        word ^= halves[1 - side]
        word *= _ODD
        word ^= word >> 15
        word *= _MIX
        word ^= word >> 13
        word &= masks[side]
        halves[side] ^= word
    return halves[0].astype(np.int64) << shift | halves[1]


@dataclass(frozen=True)
class Epoch:
    """The global batches of one epoch of a plan, each computed when it is asked for.

    Attributes:
        buckets: The plan.
        keys: (rounds, K + 1) of :func:`permutation_keys`: for the order of the steps and for each bucket; None
            for no shuffle.
        first: Global batch (counted through the buckets) that comes first; None for any.
    """

    buckets: Buckets
    keys: Words | None
    first: int | None

    def batches(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Global batches of the steps ``start`` to ``stop``.

        Returns:
            Their sizes (steps,), and the positions of their rows one batch after the other, ascending in each.
        """
        plan = self.buckets
        offset = np.cumsum(plan.steps) - plan.steps
        batch = self._order(np.arange(start, stop))
        if self.first is not None:  # turning the whole order leaves it as random as it was
            batch = (batch - self._order(np.zeros(1, np.int64)) + self.first) % plan.num_steps
        bucket = np.searchsorted(offset, batch, "right") - 1
        begin = (batch - offset[bucket]) * plan.global_sequences[bucket]
        sizes = np.minimum(plan.global_sequences[bucket], plan.rows[bucket] - begin)
        step = np.repeat(np.arange(sizes.size), sizes)
        bucket = bucket[step]
        member = begin[step] + within(sizes)
        if self.keys is not None:
            member = permute(member, plan.rows[bucket], bucket + 1, self.keys)
        positions = plan.starts[bucket] + member
        if self.keys is not None:
            rows = int(plan.starts[-1])
            positions = np.sort(step * rows + positions) - step * rows
        return sizes, positions

    def _order(self, step: Ints) -> Ints:
        if self.keys is None:
            return step
        return permute(step, np.full_like(step, self.buckets.num_steps), np.zeros_like(step), self.keys)


def within(sizes: Ints) -> Ints:
    """Counts 0, 1, … anew for each group of the given sizes: (sum of sizes,)."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
