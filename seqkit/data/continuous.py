"""Continuous text: all rows one after the other, cut into streams that are read side by side, piece by piece."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset, DistributedSampler

from seqkit.batch import Batch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Continuous:
    """How continuous text is read.

    Training pieces vary in length, so that their borders fall elsewhere each epoch: the draw is that of AWD-LSTM
    (Merity and others 2017, https://arxiv.org/abs/1708.02182), scaled to an epoch of always the same number of
    pieces. There the learning rate is scaled by a piece's length; here the loss is a sum over tokens divided by a
    constant, which does it.

    Attributes:
        streams: Streams of training text, those of all ranks together.
        steps: Tokens of a stream in a piece: how far gradients flow back.
        short: Share of training pieces that have half as many.
        deviation: Standard deviation of a training piece's number of tokens.
        ends: Whether a row's end is a token to predict, too. A text in one row needs none.
        evaluation_streams: Streams of other text. Each begins without context, so that fewer are more exact; more
            are faster.
    """

    streams: int = 64
    steps: int = 70
    short: float = 0.05
    deviation: float = 5.0
    ends: bool = True
    evaluation_streams: int = 16

    def __post_init__(self) -> None:
        for name in ("streams", "steps", "evaluation_streams"):
            if getattr(self, name) < 1:
                raise ValueError(f"Continuous got {name}={getattr(self, name)}; it must be at least 1")
        if not 0 <= self.short <= 1 or self.deviation < 0:
            raise ValueError(
                f"Continuous got short={self.short} and deviation={self.deviation}; the first is a share between 0 "
                f"and 1, the second must not be negative"
            )


def joined(dataset: datasets.Dataset, column: str, boundary: int, *, ends: bool) -> Ints:
    """All rows of a column of encoded ids as one text.

    Args:
        dataset: The rows, in the order of the text.
        column: The column, lists of ids.
        boundary: The id that stands before the text.
        ends: Whether it also follows each row.

    Returns:
        (M + 1,) for a text of M tokens: the boundary, then the tokens.
    """
    parts = [np.array([boundary])]
    for table in dataset.select_columns([column]).with_format("arrow").iter(batch_size=1000):
        rows = table.column(column).combine_chunks()
        ids = pc.list_flatten(rows).to_numpy(zero_copy_only=False).astype(np.int64)
        if ends:
            stops = pc.list_value_length(rows).to_numpy(zero_copy_only=False).astype(np.int64).cumsum()
            ids = np.insert(ids, stops, boundary)
        parts.append(ids)
    return np.concatenate(parts)


class TextStreams(Dataset[Batch]):
    """The streams of a text; ``streams[(start, stop)]`` is the packed batch of these steps of each.

    The text's M tokens are dealt to the streams in order, as evenly as can be: none is left out, the first M mod S
    streams are one token longer, and the last piece's batch shrinks where the others end. A token's input is the
    one before it in the text, also across the border of two streams, so each token is predicted exactly once.

    A Batch has the stream numbers as ``rows``, and in its targets the input's own column: the tokens to predict.

    Args:
        text: (M + 1,) what :func:`joined` gives.
        column: What the input and its target are called.
        streams: S, the streams on all ranks.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This rank; it has every ``num_replicas``-th stream.

    Raises:
        ValueError: There are more streams than tokens, or more ranks than streams.
    """

    def __init__(
        self,
        text: Ints,
        column: str,
        streams: int,
        *,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if running else 1
        if rank is None:
            rank = torch.distributed.get_rank() if running else 0
        tokens = len(text) - 1
        if tokens < streams:
            raise ValueError(
                f"a text of {tokens} tokens cannot be cut into {streams} streams; set continuous.streams and "
                f"continuous.evaluation_streams to fewer"
            )
        if streams < num_replicas:
            raise ValueError(
                f"{streams} streams cannot be dealt to {num_replicas} ranks; set continuous.streams and "
                f"continuous.evaluation_streams to {num_replicas} at least"
            )
        self.text = torch.from_numpy(text)
        self.column = column
        self.num_streams = streams
        numbers = np.arange(streams)
        lengths = tokens // streams + (numbers < tokens % streams)
        self.num_steps = int(lengths[0])
        self._numbers = numbers[rank::num_replicas]
        self._starts = (lengths.cumsum() - lengths)[rank::num_replicas]
        self._lengths = lengths[rank::num_replicas]

    @property
    def num_tokens(self) -> int:
        """M, the tokens to predict, on all ranks."""
        return len(self.text) - 1

    def __getitem__(self, piece: tuple[int, int]) -> Batch:
        """The steps from ``start`` to before ``stop`` of each stream of this rank that is as long."""
        steps = np.arange(*piece)
        sizes = (self._lengths[:, None] > steps).sum(0)  # (T,) streams fall in length, by one at most
        sizes = sizes[sizes > 0]
        places = np.concatenate(
            [np.zeros(0, np.int64), *(self._starts[:size] + t for t, size in zip(steps, sizes, strict=False))]
        )
        index, batch_sizes = torch.from_numpy(places), torch.from_numpy(sizes)
        there = self._numbers[: sizes[0]] if sizes.size else self._numbers[:0]

        def packed(values: Tensor) -> PackedSequence:
            return PackedSequence(values, batch_sizes)

        return Batch(
            rows=torch.from_numpy(there),
            inputs={self.column: packed(self.text[index])},
            targets={self.column: packed(self.text[index + 1])},
        )


class PieceSampler(DistributedSampler[tuple[int, int]]):
    """Yields the pieces of an epoch, (start, stop), in the order of the text: the same on all ranks.

    A pure function of the arguments and the epoch; as many pieces in every epoch.

    Args:
        streams: What is cut into pieces.
        continuous: How.
        training: Whether the pieces' lengths vary; else all have ``continuous.steps``, but for the last.
        seed: Of the variation.

    Attributes:
        tokens_per_step: Mean number of tokens of a piece, on all ranks.
        sequences_per_step: Number of streams.
        epoch_batches: Number of pieces of an epoch.
    """

    def __init__(self, streams: TextStreams, continuous: Continuous, *, training: bool, seed: int = 0) -> None:
        self.num_steps = streams.num_steps
        self.continuous = continuous
        self.training = training
        self.seed = seed
        self.epoch = 0
        self._first = 0
        mean = continuous.steps * (1 - continuous.short / 2) if training else continuous.steps
        pieces = self.num_steps / mean
        self.epoch_batches = min(max(1, round(pieces)), self.num_steps) if training else int(np.ceil(pieces))
        self.tokens_per_step = streams.num_tokens / self.epoch_batches
        self.sequences_per_step = float(streams.num_streams)
        digest = hashlib.blake2b(streams.text.numpy().data, digest_size=8).hexdigest()
        self._text = f"{streams.num_tokens} tokens in {streams.num_streams} streams, {digest}"

    def __len__(self) -> int:
        """Number of pieces of an epoch."""
        return self.epoch_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The epoch's pieces; of the epoch that a loaded state is in, the remaining ones."""
        return itertools.islice(itertools.pairwise(self._borders().tolist()), self._first, None)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._first = 0

    def state_dict(self, step: int) -> dict[str, Any]:
        """Where the epoch stands after ``step`` pieces: plain types, the same on all ranks."""
        return {"epoch": self.epoch, "batches": step} | self._cut()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, on any number of ranks.

        Raises:
            ValueError: The state is of another text, or of one that was cut into other streams or pieces.
        """
        for key, value in self._cut().items():
            older = key not in state_dict and key in ("short", "deviation", "seed")  # which runs once did not keep
            if state_dict.get(key) != value and not older:
                raise ValueError(
                    f"the state is of other text or streams: {key} {state_dict.get(key)!r} in the state, {value!r} "
                    f"here; resume with what the state was saved with, or start a new run"
                )
        self.epoch = state_dict["epoch"]
        self._first = state_dict["batches"]

    def _cut(self) -> dict[str, Any]:
        """What decides the pieces of every epoch, in plain types."""
        drawn = {"short": self.continuous.short, "deviation": self.continuous.deviation, "seed": self.seed}
        return {"text": self._text, "steps": self.continuous.steps} | (drawn if self.training else {})

    def _borders(self) -> Ints:
        """(K + 1,) the step at which each piece of the epoch begins, and the end."""
        count = self.epoch_batches
        if not self.training:
            return np.minimum(np.arange(count + 1) * self.continuous.steps, self.num_steps)
        random = np.random.default_rng([self.seed, self.epoch])
        full = np.where(random.random(count) < self.continuous.short, 0.5, 1.0) * self.continuous.steps
        drawn = np.maximum(random.normal(full, self.continuous.deviation), min(5, full.min()))
        ends = np.rint(drawn.cumsum() * (self.num_steps / drawn.sum())).astype(np.int64)
        numbers = np.arange(1, count + 1)  # rounding leaves each piece one step at least
        ends = np.maximum.accumulate(np.maximum(ends - numbers, 0)) + numbers
        ends = np.minimum(ends, self.num_steps - (count - numbers))
        return np.concatenate([[0], ends])
