"""Connectionist temporal classification on packed data (Graves and others 2006): the loss.

A net gives each step one score a label and one for the *blank*, which is the last class. A path of classes stands
for the labels that are left when repetitions are merged and blanks dropped; the probability of a label sequence is
that of all its paths. Label sequences are packed as :mod:`seqkit.labels.sequences` says.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.labels import Transcripts, split, unique_references
from seqkit.losses.base import Loss, Values


class CTC(Loss):
    """The negative logarithm of the probability that an output is any of its row's references.

    One unit a row. A row none of whose references can be aligned with its steps does not count; see
    :func:`steps_needed`. The outputs are padded here and nowhere else, for :func:`torch.nn.functional.ctc_loss`.
    """

    def each(self, output: PackedSequence, target: PackedSequence) -> Tensor:
        """Compute the loss of each row.

        Args:
            output: Data (N, C), scores; the last class is the blank.
            target: Label sequences, data (M,), ids in [0, C - 1) but for :data:`~seqkit.labels.sequences.END` and
                :data:`~seqkit.labels.sequences.UNKNOWN`.

        Returns:
            (B,), in the original order; infinite where no reference can be aligned.

        Raises:
            ValueError: Output and target hold different numbers of sequences, or an id is no label.
        """
        references = split(target)
        count, classes = int(output.batch_sizes[0]), output.data.shape[-1]
        if count != int(target.batch_sizes[0]):
            raise ValueError(
                f"CTC: {count} sequences of outputs but {int(target.batch_sizes[0])} of labels; give each row both"
            )
        if len(references.labels) and int(references.labels.max()) >= classes - 1:
            raise ValueError(
                f"CTC: label {int(references.labels.max())}, but the output has {classes - 1} labels and the "
                f"blank, which is the last; labels count from 0"
            )
        if len(references.rows) != count:
            references = unique_references(references)  # the probability of a repeated one counts once
        steps = packed.lengths(output).to(output.data.device)
        there = steps_needed(references) <= steps[references.rows]  # (R,)
        if not bool(there.any()):
            return output.data.new_full(
                (count,), torch.inf, dtype=torch.promote_types(output.data.dtype, torch.float32)
            )
        labels, rows = references.labels[there[references.owners]], references.rows[there]
        scores = packed.to_padded(
            output._replace(
                data=output.data.log_softmax(-1, torch.promote_types(output.data.dtype, torch.float32))
            ),
            batch_first=False,
        )
        if len(rows) != count or len(references.rows) != count:
            scores = scores.index_select(1, rows)
        losses = F.ctc_loss(
            scores, labels, steps[rows], references.lengths[there], blank=classes - 1, reduction="none"
        )
        if len(rows) == len(references.rows) == count:
            return losses
        # -log of the sum of the references' probabilities; they exclude one another, so that it is one, too.
        least = losses.new_full((count,), torch.inf).scatter_reduce(0, rows, losses.detach(), "amin")
        shares = losses.new_zeros(count).index_add(0, rows, (least[rows] - losses).exp())
        return least - (shares + least.isinf()).log()

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the loss over the rows that can be aligned; see :meth:`Loss.total`."""
        each = self.each(cast(PackedSequence, output), cast(PackedSequence, target))
        there = ~each.isposinf()
        return each[there].sum() + cast(PackedSequence, output).data[:0].sum(), there.sum()


def steps_needed(transcripts: Transcripts) -> Tensor:
    """Count the steps without which label sequences cannot be aligned: one a label, one between equal neighbours.

    Returns:
        (R,) int64; more than any input has where a label is unknown.
    """
    labels, owners = transcripts.labels, transcripts.owners
    repeats = (labels[1:] == labels[:-1]) & (owners[1:] == owners[:-1])
    needed = transcripts.lengths.index_add(0, owners[1:], repeats.long())
    return needed.index_fill(0, owners[labels < 0], torch.iinfo(torch.int64).max)
