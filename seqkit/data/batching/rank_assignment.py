"""Dealing the rows of a global batch to the ranks, so that they have equally much to do."""

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.permutation import within

Ints = npt.NDArray[np.int64]

_GREEDY = 64  # last rounds that are dealt by what each hand holds; those before go forth and back
_UNEVEN = 0.01  # of the mean: hands that differ by more exchange cards


def deal_in_turns(index: Ints, hands: int) -> Ints:
    """Whose hand the cards dealt at ``index`` = 0, 1, … go to, forth and back.

    Of values dealt in descending order, the sums of any two hands of equally many differ by at most the largest
    value less the smallest: the rounds' differences alternate in sign and cover disjoint ranges of values. A hand
    never gets more if some of the values get smaller.
    """
    turn, place = np.divmod(index, hands)
    return np.where(turn % 2, hands - 1 - place, place)


def deal_evenly(sizes: Ints, values: Ints, hands: int) -> Ints:
    """Whose hand each card goes to, such that the hands' sums are as even as can be had at little cost.

    Cards are dealt in rounds of one card to each hand, the largest card of a round to the hand that holds least,
    so that, of equally many cards each, the sums of two hands differ by at most the largest value less the
    smallest. Where they still differ by more than 1 %, the fullest and the emptiest hand exchange cards, but
    those of the first round, so that the largest cards of the hands stay as like each other as they are.

    Args:
        sizes: (S,) number of cards of each deal.
        values: (sum of sizes,) values of the cards, descending within each deal.
        hands: Number of hands in each deal.

    Returns:
        (sum of sizes,) the hand, 0 to ``hands`` − 1, of each card.
    """
    index = within(sizes)
    hand = deal_in_turns(index, hands)
    if hands == 1 or not index.size:
        return hand
    start = np.cumsum(sizes) - sizes
    deals = np.repeat(np.arange(sizes.size), sizes)
    rounds = -(-int(sizes.max()) // hands)
    greedy = max(0, rounds - _GREEDY) * hands
    blind = index < greedy
    sums = np.bincount(deals[blind] * hands + hand[blind], values[blind], sizes.size * hands).astype(np.int64)
    sums = sums.reshape(-1, hands)
    place = np.arange(hands)
    for first in range(greedy, rounds * hands, hands):
        open_ = np.flatnonzero(sizes > first)
        cards = start[open_, None] + first + place
        there = first + place < sizes[open_, None]
        poorest = np.argsort(sums[open_], axis=1, kind="stable")
        hand[cards[there]] = poorest[there]
        value = np.where(there, values[np.where(there, cards, 0)], 0)
        sums[open_[:, None], poorest] += value
    for uneven in np.flatnonzero(np.ptp(sums, axis=1) > _UNEVEN * sums.mean(1)):
        later = slice(start[uneven] + hands, start[uneven] + sizes[uneven])  # all but the first round
        _exchange(hand[later], values[later], sums[uneven])
    return hand


def _exchange(hand: Ints, values: Ints, sums: Ints) -> None:
    """Swaps cards of the fullest and the emptiest hand, in place, while that makes them more even."""
    for _ in range(4 * sums.size):
        full, empty = sums.argmax(), sums.argmin()
        gap = sums[full] - sums[empty]
        give, take = np.flatnonzero(hand == full)[:_GREEDY], np.flatnonzero(hand == empty)[:_GREEDY]
        less = values[give][:, None] - values[take]  # by which the gap shrinks twice
        if not less.size or gap <= _UNEVEN * sums.mean():
            return
        best = np.abs(gap - 2 * less).argmin()
        change = less.flat[best]
        if not 0 < change < gap:
            return
        one, other = give[best // take.size], take[best % take.size]
        hand[one], hand[other] = empty, full
        sums[full] -= change
        sums[empty] += change
