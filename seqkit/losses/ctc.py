"""The loss of connectionist temporal classification on packed data (Graves et al. 2006).

The model gives each step one score per label and one for the *blank*, the last class. A path, with one class per
step, becomes a label sequence when its repetitions are merged and its blanks dropped. The probability of a label
sequence is the sum over its paths. Label sequences are packed as :mod:`seqkit.labels.sequences` describes.
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
    """Negative log-probability that the output of a row is any of its references.

    Each row is a unit. A row does not count if none of its references fits into its steps; see
    :func:`steps_needed`. The outputs are padded, because :func:`torch.nn.functional.ctc_loss` requires it.
    """

    def each(self, output: PackedSequence, target: PackedSequence) -> Tensor:
        """Compute the loss of each row.

        Args:
            output: Data (N, C), scores; the last class is the blank.
            target: Label sequences, data (M,): ids in [0, C - 1), :data:`~seqkit.labels.sequences.END` or
                :data:`~seqkit.labels.sequences.UNKNOWN`.

        Returns:
            (B,), in the original order; infinite where no reference fits.

        Raises:
            ValueError: Output and target have different numbers of sequences, or an id is out of range.
        """
        references = split(target)
        count, classes = int(output.batch_sizes[0]), output.data.shape[-1]
        if count != int(target.batch_sizes[0]):
            raise ValueError(
                f"CTC: {count} sequences of outputs but {int(target.batch_sizes[0])} of labels; give each row both"
            )
        if len(references.labels) and int(references.labels.max()) >= classes - 1:
            raise ValueError(
                f"CTC: label {int(references.labels.max())}, but the output has {classes - 1} labels, from 0, and "
                f"the blank; give the model more classes"
            )
        if len(references.rows) != count:
            references = unique_references(references)  # the probability of a repeated one counts once
        steps, device = packed.lengths(output), output.data.device  # steps and references are on the CPU
        fits = steps_needed(references) <= steps[references.rows]  # (R,)
        dtype = torch.promote_types(output.data.dtype, torch.float32)
        if not bool(fits.any()):
            return output.data.new_full((count,), torch.inf, dtype=dtype)
        labels, rows = references.labels[fits[references.owners]], references.rows[fits]
        scores = packed.to_padded(output._replace(data=output.data.log_softmax(-1, dtype)), batch_first=False)
        each_one = len(rows) == len(references.rows) == count
        index = packed.to_device(rows, device)
        if not each_one:
            scores = scores.index_select(1, index)
        labels, lengths = packed.to_device(labels, device), references.lengths[fits]
        losses = F.ctc_loss(scores, labels, steps[rows], lengths, blank=classes - 1, reduction="none")
        if each_one:
            return losses
        # -log of the sum of the probabilities of the references, which exclude one another.
        least = losses.new_full((count,), torch.inf).scatter_reduce(0, index, losses.detach(), "amin")
        shares = losses.new_zeros(count).index_add(0, index, (least[index] - losses).exp())
        return least - (shares + least.isinf()).log()

    def total(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Sum the loss over the rows with a reference that fits; see :meth:`Loss.total`."""
        losses = self.each(cast(PackedSequence, output), cast(PackedSequence, target))
        counts = ~losses.isposinf()
        return losses.where(counts, 0.0).sum() + cast(PackedSequence, output).data[:0].sum(), counts.sum()


def steps_needed(transcripts: Transcripts) -> Tensor:
    """Count the steps that label sequences need: one per label, and a blank between equal neighbours.

    Returns:
        (R,) int64; the largest integer where a label is unknown.
    """
    labels, owners = transcripts.labels, transcripts.owners
    repeats = (labels[1:] == labels[:-1]) & (owners[1:] == owners[:-1])
    needed = transcripts.lengths.index_add(0, owners[1:], repeats.long())
    return needed.index_fill(0, owners[labels < 0], torch.iinfo(torch.int64).max)
