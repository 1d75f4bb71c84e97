"""Pseudo-random permutations with random access: any element's image without computing the others."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

_SMALL = 64  # domains up to this size need more rounds to pass a χ² test
_ROUNDS_SMALL, _ROUNDS = 16, 8
_ODD = np.uint32(0x9E3779B1)  # multipliers of xxHash: images of consecutive words are unrelated
_MIX = np.uint32(0x85EBCA77)


def permutation_keys(entropy: tuple[int, ...], count: int) -> Words:
    """Return the keys of ``count`` independent permutations, a pure function of ``entropy``: (rounds, count)."""
    words = np.random.SeedSequence(entropy).generate_state(count * _ROUNDS_SMALL, np.uint32)
    return np.ascontiguousarray(words.reshape(count, _ROUNDS_SMALL).T)


def permute(index: Ints, size: Ints, which: Ints, keys: Words) -> Ints:
    """Return the image of each ``index`` under the pseudo-random permutation ``which`` of ``range(size)``.

    The permutation is a Feistel network over the smallest power of two that is at least ``size``, applied again
    until the value is in ``range(size)`` (cycle walking; Black and Rogaway, "Ciphers with arbitrary finite
    domains", 2002). This takes less than two passes an element and no memory beyond the arguments.

    Args:
        index: (M,) elements, each in ``range(size)``.
        size: (M,) size of each element's domain, at most 2**62.
        which: (M,) column of ``keys`` for each element; the elements of one domain share it.
        keys: (rounds, count), from :func:`permutation_keys`.
    """
    out = index.copy()
    small = size <= _SMALL
    for rounds, domain in ((_ROUNDS_SMALL, small & (size > 1)), (_ROUNDS, ~small)):
        walking = np.flatnonzero(domain)
        while walking.size:
            walking_size = size[walking]
            image = _feistel(out[walking], walking_size, which[walking], keys[:rounds])
            out[walking] = image
            walking = walking[image >= walking_size]
    return out


def index_in_group(sizes: Ints) -> Ints:
    """Count 0, 1, … within each group of the given sizes: (sum of sizes,)."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _feistel(index: Ints, size: Ints, which: Ints, keys: Words) -> Ints:
    """Permute the smallest power of two that is at least ``size``, with the keys (rounds, count)."""
    bits = np.frexp((size - 1).astype(np.float64))[1]  # of the largest element
    shift = bits >> 1
    masks = ((1 << (bits - shift)) - 1).astype(np.uint32), ((1 << shift) - 1).astype(np.uint32)
    halves = [(index >> shift).astype(np.uint32), index.astype(np.uint32) & masks[1]]
    for round_, key in enumerate(keys):
        side = round_ % 2
        word = key.take(which)
        word ^= halves[1 - side]
        word *= _ODD
        word ^= word >> 15
        word *= _MIX
        word ^= word >> 13
        word &= masks[side]
        halves[side] ^= word
    return halves[0].astype(np.int64) << shift | halves[1]
