"""Where an epoch stands."""

from dataclasses import dataclass

from seqkit.data.batching.plan import Buckets


@dataclass(frozen=True)
class Place:
    """A place in an epoch: before the global batch ``step`` of a plan, or within it.

    Attributes:
        epoch: The epoch.
        buckets: Its plan, perhaps made for another number of ranks than there are now.
        step: Global batches consumed.
        dealt: Where the next one is consumed in part by other numbers of ranks: (ranks, batches each had).
        turns: Batches of it that each of the ranks that there are now had.
        consumed: Batches that each rank had in the epoch.
    """

    epoch: int
    buckets: Buckets
    step: int
    dealt: tuple[tuple[int, int], ...]
    turns: int
    consumed: int


def hands_left(hands: int, dealt: tuple[tuple[int, int], ...]) -> int:
    """Hands that are left of a global batch after ``dealt`` (ranks, batches each had)."""
    for ranks, turns in dealt:
        hands = -(-hands // ranks) * ranks - ranks * turns
    return hands
