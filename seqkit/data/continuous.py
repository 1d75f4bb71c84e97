"""Continuous text: all rows concatenated, cut into sequences that are read in parallel, a few tokens a step."""

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
from seqkit.data.batching.rank_assignment import rank_and_world_size
from seqkit.data.batching.state import fingerprint, require_equal_settings
from seqkit.options import flag, integer, number

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Continuous:
    """How a language model reads continuous text: truncated backpropagation through time (BPTT).

    In training the number of tokens of a step varies, so that the steps begin at other tokens in each epoch. It is
    drawn as in AWD-LSTM (Merity and others 2017, https://arxiv.org/abs/1708.02182), scaled to the same number of
    steps in every epoch. AWD-LSTM scales the learning rate by the number of tokens; here the loss is a sum over
    tokens divided by a constant, which has the same effect.

    Attributes:
        batch_size: Number of sequences read in parallel in training, on all ranks together.
        bptt: Number of tokens of each sequence in a step, through which gradients flow back.
        short: Share of training steps with half as many tokens.
        deviation: Standard deviation of a training step's number of tokens.
        append_eos: Whether the end of a row is a token to predict. Text in one row needs none.
        evaluation_batch_size: Number of sequences read in parallel in evaluation. Each begins without context:
            fewer are more exact, more are faster.
    """

    batch_size: int = 64
    bptt: int = 70
    short: float = 0.05
    deviation: float = 5.0
    append_eos: bool = True
    evaluation_batch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("batch_size", "bptt", "evaluation_batch_size"):
            integer(f"Continuous: {name}", getattr(self, name), 1)
        number("Continuous: short", self.short, 0, most=1)
        number("Continuous: deviation", self.deviation, 0)
        flag("Continuous: append_eos", self.append_eos)


def concatenate_rows(dataset: datasets.Dataset, column: str, boundary: int, *, append_eos: bool) -> Ints:
    """Concatenate all rows of a column of encoded ids to one text.

    Args:
        dataset: The rows, in the order of the text.
        column: The column, with lists of ids.
        boundary: The id before the first token.
        append_eos: Whether to append this id to each row, too.

    Returns:
        (M + 1,) for a text of M tokens: the boundary, then the tokens.
    """
    parts = [np.array([boundary])]
    for table in dataset.select_columns([column]).with_format("arrow").iter(batch_size=1000):
        rows = table.column(column).combine_chunks()
        ids = pc.list_flatten(rows).to_numpy(zero_copy_only=False).astype(np.int64)
        if append_eos:
            ends = pc.list_value_length(rows).to_numpy(zero_copy_only=False).astype(np.int64).cumsum()
            ids = np.insert(ids, ends, boundary)
        parts.append(ids)
    return np.concatenate(parts)


class ContinuousText(Dataset[Batch]):
    """A text cut into sequences; ``text[(start, stop)]`` is the packed batch of these time steps of each sequence.

    The text's M tokens are divided into ``batch_size`` contiguous sequences of nearly equal length: the first M mod
    ``batch_size`` sequences are one token longer, and no token is left out. The input at a token is the token
    before it in the text, also where a sequence begins, so each token is predicted exactly once.

    A Batch has the numbers of the sequences as ``rows``, and as target, under the input's name, the tokens to
    predict.

    Args:
        text: (M + 1,) as returned by :func:`concatenate_rows`.
        column: Name of the input and of its target.
        batch_size: Number of sequences on all ranks.
        num_replicas: Number of ranks; by default that of torch.distributed, or 1.
        rank: This process's rank; it reads every ``num_replicas``-th sequence.

    Raises:
        ValueError: There are more sequences than tokens, or more ranks than sequences.
    """

    def __init__(
        self,
        text: Ints,
        column: str,
        batch_size: int,
        *,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        rank, world_size = rank_and_world_size(rank, num_replicas)
        tokens = len(text) - 1
        if tokens < batch_size:
            raise ValueError(
                f"a text of {tokens} tokens cannot be cut into {batch_size} sequences; set continuous.batch_size "
                f"and continuous.evaluation_batch_size to fewer"
            )
        if batch_size < world_size:
            raise ValueError(
                f"{batch_size} sequences cannot be shared by {world_size} ranks; set continuous.batch_size and "
                f"continuous.evaluation_batch_size to at least {world_size}"
            )
        self.text = torch.from_numpy(text)
        self.column = column
        self.batch_size = batch_size
        numbers = np.arange(batch_size)
        lengths = tokens // batch_size + (numbers < tokens % batch_size)
        self.longest = int(lengths[0])
        self._numbers = numbers[rank::world_size]
        self._starts = (lengths.cumsum() - lengths)[rank::world_size]
        self._lengths = lengths[rank::world_size]

    @property
    def num_tokens(self) -> int:
        """M, the number of tokens to predict on all ranks."""
        return len(self.text) - 1

    def __getitem__(self, steps: tuple[int, int]) -> Batch:
        """Return the time steps from ``start`` to before ``stop`` of this rank's sequences that are long enough."""
        times = np.arange(*steps)
        sizes = (self._lengths[:, None] > times).sum(0)  # (T,) the lengths descend and differ by one at most
        sizes = sizes[sizes > 0]
        positions = np.concatenate(
            [np.zeros(0, np.int64), *(self._starts[:size] + t for t, size in zip(times, sizes, strict=False))]
        )
        index, batch_sizes = torch.from_numpy(positions), torch.from_numpy(sizes)
        numbers = self._numbers[: sizes[0]] if sizes.size else self._numbers[:0]

        def pack(values: Tensor) -> PackedSequence:
            return PackedSequence(values, batch_sizes)

        return Batch(
            rows=torch.from_numpy(numbers),
            inputs={self.column: pack(self.text[index])},
            targets={self.column: pack(self.text[index + 1])},
        )


class BPTTSampler(DistributedSampler[tuple[int, int]]):
    """Yield the steps of an epoch as (start, stop) time steps, in the order of the text, equal on all ranks.

    The steps are a pure function of the arguments and the epoch. Every epoch has equally many.

    Args:
        text: The text.
        continuous: How it is read.
        training: Whether the number of time steps varies. Otherwise it is ``continuous.bptt``, the last one apart.
        seed: Seed of the variation.

    Attributes:
        tokens_per_step: Mean number of tokens of a step, on all ranks.
        sequences_per_step: Number of sequences.
        epoch_batches: Number of steps of an epoch.
    """

    def __init__(self, text: ContinuousText, continuous: Continuous, *, training: bool, seed: int = 0) -> None:
        self.longest = text.longest
        self.continuous = continuous
        self.training = training
        self.seed = seed
        self.epoch = 0
        self._first = 0
        mean = continuous.bptt * (1 - continuous.short / 2) if training else continuous.bptt
        steps = self.longest / mean
        self.epoch_batches = min(max(1, round(steps)), self.longest) if training else int(np.ceil(steps))
        self.tokens_per_step = text.num_tokens / self.epoch_batches
        self.sequences_per_step = float(text.batch_size)
        digest = fingerprint(text.text.numpy())
        self._text = f"{text.num_tokens} tokens in {text.batch_size} sequences, {digest}"

    def __len__(self) -> int:
        """Return the number of steps of an epoch."""
        return self.epoch_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Return an iterator of the epoch's steps, after a loaded state of the remaining ones."""
        return itertools.islice(itertools.pairwise(self._boundaries().tolist()), self._first, None)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields, from its beginning."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._first = 0

    def state_dict(self, step: int) -> dict[str, Any]:
        """Return the position after ``step`` steps of the epoch: plain types, identical on all ranks.

        Keys: ``epoch``; ``batches``, the consumed steps; ``text``, a fingerprint; ``bptt``, ``short``,
        ``deviation`` and ``seed``, which determine the steps.
        """
        return {"epoch": self.epoch, "batches": step} | self._settings()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the position at which the state was saved, on any number of ranks.

        Raises:
            ValueError: The state belongs to another text, or to one that was cut in another way.
        """
        current = self._settings()
        require_equal_settings("continuous text", {key: state_dict.get(key) for key in current}, current)
        self.epoch = state_dict["epoch"]
        self._first = state_dict["batches"]

    def _settings(self) -> dict[str, Any]:
        """Return what determines the steps of every epoch, in plain types."""
        drawn = {"short": self.continuous.short, "deviation": self.continuous.deviation, "seed": self.seed}
        return {"text": self._text, "bptt": self.continuous.bptt} | (drawn if self.training else {})

    def _boundaries(self) -> Ints:
        """Return the time step (K + 1,) at which each of the epoch's K steps begins, and the end."""
        count = self.epoch_batches
        if not self.training:
            return np.minimum(np.arange(count + 1) * self.continuous.bptt, self.longest)
        random = np.random.default_rng([self.seed, self.epoch])
        full = np.where(random.random(count) < self.continuous.short, 0.5, 1.0) * self.continuous.bptt
        drawn = np.maximum(random.normal(full, self.continuous.deviation), min(5, full.min()))
        ends = np.rint(drawn.cumsum() * (self.longest / drawn.sum())).astype(np.int64)
        numbers = np.arange(1, count + 1)  # each step keeps at least one time step after rounding
        ends = np.maximum.accumulate(np.maximum(ends - numbers, 0)) + numbers
        ends = np.minimum(ends, self.longest - (count - numbers))
        return np.concatenate([[0], ends])
