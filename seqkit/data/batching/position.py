"""The position in an epoch at which a run continues, also on another number of ranks."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from seqkit.data.batching.epoch_part import EpochPart, Planner
from seqkit.data.batching.state import fingerprint, require_equal_settings


class ConsumedPart(NamedTuple):
    """What a state keeps of a part of an epoch.

    Attributes:
        world_size: Number of ranks that the part was planned for.
        steps: Number of its steps that are consumed.
        plan: Fingerprint of its buckets.
    """

    world_size: int
    steps: int
    plan: str


@dataclass(frozen=True)
class ResumePosition:
    """The position in an epoch at which an iteration begins.

    An epoch is a list of parts. The first part is the plan of all rows. When a run is resumed in mid-epoch on
    another number of ranks, a new part begins: the rows that are not consumed yet are planned again, as an epoch of
    their own, for the new number of ranks (:meth:`~seqkit.data.batching.epoch_part.Planner.next_part`). So each row
    is in exactly one part, and in each part all ranks take equally many steps. Which rows remain follows from the
    number of ranks and of consumed steps of each part: a state keeps only these.

    Attributes:
        epoch: The epoch.
        earlier: The parts before the current part.
        part: The current part.
        step: Number of its steps that are consumed.
    """

    epoch: int
    earlier: tuple[ConsumedPart, ...]
    part: EpochPart
    step: int

    @property
    def consumed(self) -> int:
        """Number of the epoch's steps that are consumed, those of earlier parts included."""
        return sum(part.steps for part in self.earlier) + self.step

    @property
    def remaining(self) -> int:
        """Number of the epoch's steps that are not consumed."""
        return self.part.num_steps - self.step

    def parts_after(self, consumed: int) -> list[ConsumedPart]:
        """Return the epoch's parts so far, when ``consumed`` of the epoch's steps are consumed.

        Raises:
            ValueError: ``consumed`` is before this position or after the end of the epoch.
        """
        last = self.consumed + self.remaining
        if not self.consumed <= consumed <= last:
            raise ValueError(
                f"step={consumed}: epoch {self.epoch} has {last} batches, of which {self.consumed} to {last} can "
                "be consumed here"
            )
        steps = self.step + consumed - self.consumed
        if self.earlier and not steps:
            return list(self.earlier)
        return [*self.earlier, ConsumedPart(self.part.buckets.world_size, steps, _plan_fingerprint(self.part))]

    def replan(self, planner: Planner, world_size: int) -> "ResumePosition":
        """Return the beginning of a new part for ``world_size`` ranks, which has the remaining rows."""
        earlier = tuple(self.parts_after(self.consumed))
        part = planner.next_part(self.part, self.step, world_size, self.epoch, self.consumed)
        return ResumePosition(self.epoch, earlier, part, 0)


def rebuild_position(
    planner: Planner, first: EpochPart, epoch: int, parts: Iterable[ConsumedPart]
) -> ResumePosition:
    """Return the position that a state was saved at.

    Args:
        planner: The planner, with the settings of the run that was interrupted.
        first: The whole epoch, planned for the number of ranks of the first part.
        epoch: The epoch.
        parts: The parts of the state, at least one.

    Raises:
        ValueError: A plan is not the one that the interrupted run had.
    """
    position = ResumePosition(epoch, (), first, 0)
    for number, part in enumerate(parts):
        if number:
            position = position.replan(planner, part.world_size)
        require_equal_settings("sampler", {"plan": part.plan}, {"plan": _plan_fingerprint(position.part)})
        position = dataclasses.replace(position, step=part.steps)
    return position


def _plan_fingerprint(part: EpochPart) -> str:
    return fingerprint(part.buckets.starts, part.buckets.sequences)
