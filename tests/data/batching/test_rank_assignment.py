import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.rank_assignment import deal_evenly, deal_in_turns

deals = st.lists(st.lists(st.integers(0, 100), min_size=0, max_size=40), min_size=1, max_size=4)


def in_turns(sizes, values, hands):
    return np.concatenate([deal_in_turns(np.arange(size), hands) for size in sizes])


@pytest.mark.parametrize("deal", [deal_evenly, in_turns])
@given(deals, st.integers(1, 8))
def test_hands_are_even(deal, decks, hands):
    decks = [np.array(sorted(deck, reverse=True), np.int64) for deck in decks]
    sizes = np.array([deck.size for deck in decks])
    dealt = np.split(deal(sizes, np.concatenate(decks), hands), np.cumsum(sizes)[:-1])
    for deck, hand in zip(decks, dealt, strict=True):
        counts = np.bincount(hand, minlength=hands)
        assert counts.size == hands
        assert np.ptp(counts) <= 1
        assert sorted(hand[:hands]) == list(range(min(hands, deck.size)))  # one card each in the first round
        if deck.size and deck.size % hands == 0:
            assert np.ptp(np.bincount(hand, deck, hands)) <= deck[0] - deck[-1]


@given(deals, st.integers(1, 8))
def test_a_deal_does_not_depend_on_the_others(decks, hands):
    decks = [np.array(sorted(deck, reverse=True), np.int64) for deck in decks]
    sizes = np.array([deck.size for deck in decks])
    together = deal_evenly(sizes, np.concatenate(decks), hands)
    alone = [deal_evenly(np.array([deck.size]), deck, hands) for deck in decks]
    assert together.tolist() == np.concatenate(alone).tolist()


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(1, 8), st.data())
def test_in_turns_less_to_deal_gives_no_hand_more(values, hands, data):
    values = np.sort(values)[::-1]
    less = np.array([data.draw(st.integers(0, value)) for value in values.tolist()])
    hand = deal_in_turns(np.arange(values.size), hands)
    assert (np.bincount(hand, np.sort(less)[::-1], hands) <= np.bincount(hand, values, hands)).all()


def test_exchanges_make_up_for_a_giant():
    values = np.array([159, 90, 88, 85, 80, 80, 75, 75, 72, 72, 70, 70, 66, 65, 64, 60])
    sums = {}
    for name, deal in (("evenly", deal_evenly), ("in turns", in_turns)):
        hand = deal(np.array([16]), values, 2)
        sums[name] = np.bincount(hand, values, 2)
        assert np.bincount(hand).tolist() == [8, 8]
    assert np.ptp(sums["evenly"]) <= 0.01 * sums["evenly"].mean() < np.ptp(sums["in turns"])


def test_large_batches_are_even():
    values = -np.sort(-np.random.default_rng(0).integers(10, 40, 8 * 500))
    sums = np.bincount(deal_evenly(np.array([values.size]), values, 8), values)
    assert np.ptp(sums) <= 0.001 * sums.mean()
