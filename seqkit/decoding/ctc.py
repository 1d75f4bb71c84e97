"""Decoding of connectionist temporal classification (Graves and others 2006): best path and beam search."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.labels.sequences import close


def best_path(output: PackedSequence) -> PackedSequence:
    """Take the likeliest class of each step, merge repetitions and drop blanks.

    Args:
        output: Data (N, C), scores; the last class is the blank.

    Returns:
        Label sequences, one a row; see :mod:`seqkit.labels.sequences`.
    """
    best = output._replace(data=output.data.argmax(-1))
    before = packed.shift(best, 1, fill=-1)
    blank = output.data.shape[-1] - 1
    said = (best.data != blank) & (best.data != before.data)
    return _collected(best._replace(data=torch.where(said, best.data, -1)))


class Beams(NamedTuple):
    """What :func:`beam_search` finds.

    Attributes:
        transcripts: The likeliest label sequences of all rows, the second likeliest, and so on.
        scores: (B, count), the logarithm of the probability of the paths that the search followed, at most that of
            all paths; -inf where there are fewer label sequences (those that stand there mean nothing).
    """

    transcripts: list[PackedSequence]
    scores: Tensor


@torch.no_grad()
def beam_search(output: PackedSequence, width: int, count: int = 1) -> Beams:
    """Search for the likeliest label sequences, keeping the likeliest beginnings at each step.

    Prefix search with the paths that end in a blank and in a label told apart (Hannun and others 2014,
    https://arxiv.org/abs/1408.2873, without a language model), for all rows at once, as logarithms.

    Args:
        output: Data (N, C), scores; the last class is the blank.
        width: K, beginnings that are kept.
        count: Label sequences to give back for each row, at most K.

    Raises:
        ValueError: ``count`` is not in [1, ``width``].
    """
    if not 1 <= count <= width:
        raise ValueError(f"beam_search: count is {count} with width {width}; give 1 to {width}, or a greater width")
    scores = output.data.log_softmax(-1, torch.promote_types(output.data.dtype, torch.float32))
    sizes = output.batch_sizes.tolist()
    beam = _Beam.first(scores, sizes[0], width)
    parents, said, ended = [], [], []
    for t, x in enumerate(torch.split(scores, sizes)):
        if t:
            ended.append(beam.total[len(x) :])
            beam = _Beam(*(values[: len(x)] for values in beam))
        beam, parent, label = beam.step(x)
        parents.append(parent)
        said.append(label)
    totals = torch.cat([beam.total, *reversed(ended)])  # (B, K)
    best, slots = totals.topk(count, 1)
    found, held = [], slots[: sizes[-1]]
    for t in range(len(sizes) - 1, -1, -1):
        found.append(said[t].gather(1, held))
        if t:
            held = torch.cat([parents[t].gather(1, held), slots[sizes[t] : sizes[t - 1]]])
    labels = torch.cat(found[::-1])  # (N, count)
    if output.unsorted_indices is not None:
        best = best[output.unsorted_indices]
    return Beams([_collected(output._replace(data=labels[:, i])) for i in range(count)], best)


class _Beam(NamedTuple):
    """The K likeliest beginnings of each of B rows; all (B, K)."""

    blank: Tensor  # log-probability of the paths that end in a blank
    label: Tensor  # of those that end in the last label
    last: Tensor  # the last label; 0 of the empty beginning, which no path that ends in a label has
    prefix: Tensor  # a number that stands for all labels

    @property
    def total(self) -> Tensor:
        return torch.logaddexp(self.blank, self.label)

    @staticmethod
    def first(scores: Tensor, count: int, width: int) -> "_Beam":
        """Before the first step: the empty beginning, and nothing else that lives."""
        nothing = scores.new_full((count, width), -torch.inf)
        blank = nothing.clone()
        blank[:, 0] = 0.0
        none = torch.zeros(count, width, dtype=torch.long, device=scores.device)
        return _Beam(blank, nothing, none, none)

    def step(self, x: Tensor) -> tuple["_Beam", Tensor, Tensor]:
        """Go on by one step with log-probabilities (B, C); also gives the parent of each, and its label or -1."""
        total, labels = self.total, x.shape[1] - 1
        blank = total + x[:, -1:]
        label = self.label + x.gather(1, self.last)
        # A label that repeats the last one says it again only after a blank.
        again = (self.blank + x.gather(1, self.last))[:, :, None]
        longer = (total[:, :, None] + x[:, None, :-1]).scatter(2, self.last[:, :, None], again)  # (B, K, C - 1)
        # A beginning i made longer by a label may be beginning j: then its paths are j's.
        columns = self.last[:, None, :].expand(-1, len(total[0]), -1)  # (B, K, K): of i and j, j's last label
        alive = total.isfinite()
        same = _longer(self.prefix[:, :, None], columns) == self.prefix[:, None, :]
        same &= (alive & (self.prefix != 0))[:, None, :]
        into = longer.gather(2, columns).masked_fill(~same, -torch.inf).amax(1)  # (B, K)
        label = torch.logaddexp(label, into)
        gone = torch.zeros_like(longer).scatter_add(2, columns, same.to(longer.dtype))
        longer = longer.masked_fill(gone > 0, -torch.inf)

        choices = torch.cat([torch.logaddexp(blank, label), longer.flatten(1)], 1)  # (B, K * C)
        best, place = choices.topk(total.shape[1], 1)
        stays = place < total.shape[1]
        grown = place - total.shape[1]
        parent = torch.where(stays, place, grown // labels)
        last = torch.where(stays, self.last.gather(1, parent), grown % labels)
        prefix = self.prefix.gather(1, parent)
        beam = _Beam(
            torch.where(stays, blank.gather(1, parent), -torch.inf),
            torch.where(stays, label.gather(1, parent), best),
            last,
            torch.where(stays, prefix, _longer(prefix, last)),
        )
        return beam, parent, torch.where(stays, -1, last)


def _longer(prefix: Tensor, label: Tensor) -> Tensor:
    """The number of a label sequence that is one label longer: a hash in 64 bits, which wrap around."""
    return prefix * 6364136223846793005 + (label + 1442695040888963407)


def _collected(said: PackedSequence) -> PackedSequence:
    """Label sequences of what is said at each step, data (N,): a label, or -1."""
    labels = torch.cat(packed.unpack(said))
    rows = torch.repeat_interleave(packed.lengths(said).to(labels.device), output_size=len(labels))
    kept = labels >= 0
    return close(labels[kept], torch.bincount(rows[kept], minlength=int(said.batch_sizes[0])))
