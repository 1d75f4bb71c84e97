"""A label sequence for every sequence, of another length than its own."""

from typing import Any, Literal, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.decoding import beam_search, best_path
from seqkit.labels import END, split
from seqkit.losses import CTC, Values, steps_needed
from seqkit.metrics import ErrorRates
from seqkit.tasks.base import Part, Schedule, Task
from seqkit.tasks.module import TaskOutput

_NEVER = torch.iinfo(torch.int64).max


class CTCRecognizer(Task):
    """Write down what a sequence says, in labels that are aligned with nothing: phones, letters, words.

    Connectionist temporal classification (Graves and others 2006): the net gives each step a label or the blank,
    and the loss is that of all alignments together; where a row has several references, of all of them. Each row
    weighs the same. The scores are the label error rate (edit distance over the length of the reference: phone or
    character error rate) and the sequence error rate (the share of rows that are not exactly right; of words, the
    word error rate), against the nearest reference.

    A row with fewer steps than its labels need (:func:`seqkit.losses.ctc.steps_needed`) cannot be learned. Give the
    encoder more steps then, by :class:`seqkit.nn.Upsample` in a :class:`seqkit.nn.Stack`.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``. Its one target is read by
            :class:`seqkit.data.LabelSequences`.
        encoder: See :class:`~seqkit.tasks.base.Task`; it may change the number of steps.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        causal: See :class:`~seqkit.tasks.base.Task`.
        infeasible: What to do with rows that have too few steps: ``drop`` leaves them out of the loss, names them
            once and counts them as ``train_infeasible``, ``val_infeasible`` and so on; ``raise`` stops at the
            first.
        beam_width: Beginnings of label sequences kept in decoding; 1: the likeliest label of each step.

    Raises:
        ValueError: The target is no label sequence; ``beam_width`` is below 1; see also
            :class:`~seqkit.tasks.base.Task`.
    """

    monitor = ("val_label_error_rate", "min")

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        causal: bool = False,
        infeasible: Literal["drop", "raise"] = "drop",
        beam_width: int = 1,
    ) -> None:
        for column, target in spec["targets"].items():
            if target["kind"] != "labels":
                raise ValueError(
                    f"CTCRecognizer needs label sequences, but target {column!r} is a {target['kind']} per "
                    f"{target['per']}; read the column with seqkit.data.LabelSequences, or use Tagger for labels "
                    f"per token"
                )
        if beam_width < 1:
            raise ValueError(f"CTCRecognizer: beam_width is {beam_width}; give 1 or more")
        super().__init__(spec, encoder, embedding, embeddings, None, CTC, dropout, optimizer, lr_scheduler, causal)
        self.infeasible = infeasible
        self.beam_width = beam_width
        self._rows = torch.empty(0, dtype=torch.long)  # of the batch that is computed
        self._left_out: dict[str, set[int]] = {}  # by stage, rows that cannot be aligned
        self._named: set[str] = set()  # stages in which they were named

    @property
    def names(self) -> list[str]:
        """The labels' names."""
        return cast(list[str], self.target["names"])

    def output_size(self) -> int:
        """One score a label, and that of the blank, which is the last."""
        return len(self.names) + 1

    def plan_units(self, plan: Any) -> float:
        """The mean number of sequences of a step."""
        return float(plan.sequences_per_step)

    def build_metrics(self) -> list[MetricCollection]:
        """Label and sequence error rate."""
        return [MetricCollection({"errors": ErrorRates()})]

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Found and true label sequences."""
        return [(self.decode(output), target)]

    def decode(self, output: Values) -> PackedSequence:
        """The likeliest label sequence of each row; see :mod:`seqkit.labels`."""
        scores = cast(PackedSequence, output)
        if self.beam_width == 1:
            return best_path(scores)
        return beam_search(scores, self.beam_width).transcripts[0]

    def to_python(self, predicted: Tensor) -> list[Any]:
        """The names of a row's labels."""
        return [self.names[i] for i in predicted.tolist() if i != END]

    def outcome(self, output: Values, batch: Batch) -> TaskOutput:
        """A batch's output beside its target."""
        self._rows = batch.rows
        return super().outcome(output, batch)

    def loss_and_update(self, outcome: TaskOutput, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute a batch's loss over the rows that can be aligned, and take it into the metrics.

        Raises:
            ValueError: A row cannot be aligned, and ``infeasible`` is ``raise``.
        """
        self._leave_out(*outcome, stage)
        return super().loss_and_update(outcome, stage)

    def sequence_losses(self, outcome: TaskOutput) -> Tensor:
        """The loss of each row, (B,); 0 of one that cannot be aligned."""
        losses = cast(CTC, self.loss).each(
            cast(PackedSequence, outcome.output), cast(PackedSequence, outcome.target)
        )
        return losses.detach().masked_fill(losses.isposinf(), 0.0)

    def on_train_epoch_end(self) -> None:
        """Count and name the training rows that cannot be aligned."""
        self._log_left_out("train")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split."""
        super().on_validation_epoch_end()
        self._log_left_out("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        super().on_test_epoch_end()
        self._log_left_out("test")

    def _leave_out(self, output: Values, target: Values, stage: str) -> None:
        """Take down the rows of a batch that cannot be aligned."""
        steps, references = packed.lengths(cast(PackedSequence, output)), split(cast(PackedSequence, target))
        needed = torch.full_like(steps, _NEVER)
        needed.scatter_reduce_(0, references.rows.cpu(), steps_needed(references).cpu(), "amin")
        places = (needed > steps).nonzero()[:, 0]
        if not len(places):
            return
        rows = self._rows.cpu()[places].tolist()
        self._left_out.setdefault(stage, set()).update(rows)
        if self.infeasible == "raise":
            has, needs = int(steps[places[0]]), int(needed[places[0]])
            if needs == _NEVER:
                reason = f"{self.target_column!r} holds a label that training did not have; "
            else:
                reason = (
                    f"{has} steps, but its labels in {self.target_column!r} need {needs}; give the encoder more "
                    f"steps (seqkit.nn.Upsample), "
                )
            raise ValueError(f'row {rows[0]}: {reason}drop the row with dataset.filter, or set infeasible="drop"')

    def _log_left_out(self, stage: str) -> None:
        found = [self._left_out.pop(stage, set())]
        if self.trainer.world_size > 1:  # each rank has seen its own
            found *= self.trainer.world_size
            torch.distributed.all_gather_object(found, found[self.trainer.global_rank])
        rows = sorted(set().union(*found))
        self.log(f"{stage}_infeasible", float(len(rows)), sync_dist=True, reduce_fx="max", batch_size=1)
        if rows and stage not in self._named and not self.trainer.sanity_checking:
            self._named.add(stage)
            some = ", ".join(map(str, rows[:20])) + (" …" if len(rows) > 20 else "")
            rank_zero_info(
                f"rows of {stage} that have fewer steps than their labels in {self.target_column!r} need, and do "
                f"not count in the loss: {some}"
            )
