"""Decoding for connectionist temporal classification (Graves et al. 2006): best path and beam search."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.labels import close


def best_path(output: PackedSequence) -> PackedSequence:
    """Take the most likely class of each step, merge repetitions and drop blanks.

    Args:
        output: Data (N, C), scores; the last class is the blank.

    Returns:
        One label sequence per row, packed as :mod:`seqkit.labels.sequences` describes, on the CPU.
    """
    return collect(best_path_steps(output))


def best_path_steps(output: PackedSequence) -> PackedSequence:
    """Find the best path like :func:`best_path`, without waiting for an accelerator.

    Args:
        output: Data (N, C), scores; the last class is the blank.

    Returns:
        Data (N,), the label that each step emits, or -1; :func:`collect` makes label sequences of them.
    """
    best = output._replace(data=output.data.argmax(-1))
    previous = packed.shift(best, 1, fill=-1)
    blank = output.data.shape[-1] - 1
    emits = (best.data != blank) & (best.data != previous.data)
    return best._replace(data=torch.where(emits, best.data, -1))


class Beams(NamedTuple):
    """Result of :func:`beam_search`.

    Attributes:
        transcripts: ``count`` packs of one label sequence per row, the most likely ones first, on the CPU.
        scores: (B, count), log-probability of the paths that the search followed, a lower bound of that of all
            paths; -inf where a row has fewer label sequences (ignore those in ``transcripts``).
    """

    transcripts: list[PackedSequence]
    scores: Tensor


def beam_search(output: PackedSequence, width: int, count: int = 1) -> Beams:
    """Search for the most likely label sequences, keeping the most likely prefixes at each step.

    Prefix beam search, which scores the paths ending in a blank and in a label separately (Hannun et al. 2014,
    https://arxiv.org/abs/1408.2873, without a language model), for all rows at once and in log space.

    Args:
        output: Data (N, C), scores; the last class is the blank.
        width: K, number of prefixes to keep.
        count: Number of label sequences to return for each row, at most K.

    Raises:
        ValueError: ``count`` is not in [1, ``width``].
    """
    steps, scores = beam_search_steps(output, width, count)
    return Beams([collect(each) for each in packed.to_host(steps)], scores)


@torch.no_grad()
def beam_search_steps(output: PackedSequence, width: int, count: int) -> tuple[list[PackedSequence], Tensor]:
    """Search like :func:`beam_search`, without waiting for an accelerator.

    Returns:
        ``count`` packs, data (N,), of the label that each step emits, or -1, which :func:`collect` makes label
        sequences of; and the scores (B, count).
    """
    if not 1 <= count <= width:
        raise ValueError(f"beam_search: count is {count} with width {width}; give 1 to {width}, or a larger width")
    scores = output.data.log_softmax(-1, torch.promote_types(output.data.dtype, torch.float32))
    sizes = output.batch_sizes.tolist()
    beam = _Beam.first(scores, sizes[0], width)
    parents, emitted, ended = [], [], []
    for t, x in enumerate(torch.split(scores, sizes)):
        if t:
            ended.append(beam.total[len(x) :])
            beam = _Beam(*(values[: len(x)] for values in beam))
        beam, parent, label = beam.step(x)
        parents.append(parent)
        emitted.append(label)
    totals = torch.cat([beam.total, *reversed(ended)])  # (B, K)
    best, slots = totals.topk(count, 1)
    labels_by_step, current = [], slots[: sizes[-1]]  # follow each result back to its first step
    for t in range(len(sizes) - 1, -1, -1):
        labels_by_step.append(emitted[t].gather(1, current))
        if t:
            current = torch.cat([parents[t].gather(1, current), slots[sizes[t] : sizes[t - 1]]])
    labels = torch.cat(labels_by_step[::-1])  # (N, count)
    if output.unsorted_indices is not None:
        best = best[output.unsorted_indices]
    return [output._replace(data=labels[:, i]) for i in range(count)], best


def collect(emitted: PackedSequence) -> PackedSequence:
    """Pack the label sequences of what each step emits, data (N,): a label, or -1. The result is on the CPU."""
    (emitted,) = packed.to_host([emitted])
    labels = torch.cat(packed.unpack(emitted))
    rows = torch.repeat_interleave(packed.lengths(emitted), output_size=len(labels))
    kept = labels >= 0
    return close(labels[kept], torch.bincount(rows[kept], minlength=int(emitted.batch_sizes[0])))


class _Beam(NamedTuple):
    """The K most likely prefixes of each of B rows; all fields are (B, K)."""

    blank: Tensor  # log-probability of the paths that end in a blank
    label: Tensor  # log-probability of the paths that end in the last label
    last: Tensor  # the last label; 0 for the empty prefix, which no path that ends in a label has
    prefix: Tensor  # hash of all labels

    @property
    def total(self) -> Tensor:
        return torch.logaddexp(self.blank, self.label)

    @staticmethod
    def first(scores: Tensor, count: int, width: int) -> "_Beam":
        """Return the beam before the first step: the empty prefix; all others have probability 0."""
        impossible = scores.new_full((count, width), -torch.inf)
        blank = impossible.clone()
        blank[:, 0] = 0.0
        zeros = torch.zeros(count, width, dtype=torch.long, device=scores.device)
        return _Beam(blank, impossible, zeros, zeros)

    def step(self, x: Tensor) -> tuple["_Beam", Tensor, Tensor]:
        """Advance by one step.

        Args:
            x: Log-probabilities (B, C) of the step.

        Returns:
            The new beam; the index of each prefix's parent in this one, (B, K); the label that it appends, or -1.
        """
        total, labels = self.total, x.shape[1] - 1
        blank = total + x[:, -1:]
        label = self.label + x.gather(1, self.last)
        # A label equal to the last one appends it only after a blank.
        repeat = (self.blank + x.gather(1, self.last))[:, :, None]
        longer = (total[:, :, None] + x[:, None, :-1]).scatter(2, self.last[:, :, None], repeat)  # (B, K, C - 1)
        # Prefix i extended by a label may equal prefix j, which then takes over its paths.
        columns = self.last[:, None, :].expand(-1, len(total[0]), -1)  # (B, K, K): at (i, j) the last label of j
        alive = total.isfinite()
        same = _extended(self.prefix[:, :, None], columns) == self.prefix[:, None, :]
        same &= (alive & (self.prefix != 0))[:, None, :]
        merged = longer.gather(2, columns).masked_fill(~same, -torch.inf).amax(1)  # (B, K)
        label = torch.logaddexp(label, merged)
        is_merged = torch.zeros_like(longer).scatter_add(2, columns, same.to(longer.dtype)) > 0
        longer = longer.masked_fill(is_merged, -torch.inf)

        choices = torch.cat([torch.logaddexp(blank, label), longer.flatten(1)], 1)  # (B, K * C)
        best, choice = choices.topk(total.shape[1], 1)
        is_same = choice < total.shape[1]
        extension = choice - total.shape[1]
        parent = torch.where(is_same, choice, extension // labels)
        last = torch.where(is_same, self.last.gather(1, parent), extension % labels)
        prefix = self.prefix.gather(1, parent)
        beam = _Beam(
            torch.where(is_same, blank.gather(1, parent), -torch.inf),
            torch.where(is_same, label.gather(1, parent), best),
            last,
            torch.where(is_same, prefix, _extended(prefix, last)),
        )
        return beam, parent, torch.where(is_same, -1, last)


def _extended(prefix: Tensor, label: Tensor) -> Tensor:
    """Hash a prefix and one more label in 64 bits, which wrap around."""
    return prefix * 6364136223846793005 + (label + 1442695040888963407)
