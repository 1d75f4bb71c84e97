"""A label sequence for every sequence, of another length than its own."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack, cast

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.decoding import beam_search_steps, best_path_steps, collect
from seqkit.labels import END, UNKNOWN, nearest, split
from seqkit.losses import CTC, Values, full_precision, steps_needed
from seqkit.metrics import EditReport, ErrorRates, ReportMetric
from seqkit.tasks.inputs import Encoded, TaskOptions
from seqkit.tasks.outputs import NAN, RowReport, TaskOutput, joined_labels, select_sequences
from seqkit.tasks.task import Task

_IMPOSSIBLE = torch.iinfo(torch.int64).max  # steps for a label that training did not have


class CTCRecognizer(Task):
    """Transcribe a sequence into labels that are not aligned with its steps: phones, letters, words.

    Connectionist temporal classification (Graves and others 2006): the model gives each step a label or the blank,
    and the loss is the negative log-likelihood of all alignments together; if a row has several references, of all
    of them. Each row weighs the same. The metrics are the label error rate (edit distance over the length of the
    reference: phone or character error rate) and the sequence error rate (the share of rows that are not exactly
    right; for words, the word error rate), against the nearest reference.

    A row with fewer steps than its labels need (:func:`seqkit.losses.ctc.steps_needed`) cannot be learned. The
    encoder may change the number of steps: give it more by :class:`seqkit.nn.Upsample` in a
    :class:`seqkit.nn.Stack`.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``. Its one target is read by
            :class:`seqkit.data.LabelSequences`.
        infeasible: What to do with rows that have too few steps: ``drop`` leaves them out of the loss, names them
            once and counts them as ``train_infeasible``, ``val_infeasible`` and so on; ``raise`` stops at the
            first.
        beam_width: The number of prefixes kept in decoding; 1: the most probable label of each step.
        causal: Whether the output at a step may depend on nothing later; refuses a bidirectional encoder. If the
            encoder merges steps, an output stands at the last of them.
        options: The encoder and the optimiser; see :class:`~seqkit.Task`.

    Raises:
        ValueError: The target is not a label sequence; ``beam_width`` is below 1; see also :class:`~seqkit.Task`.
    """

    monitor = ("val_label_error_rate", "min")
    is_aligned = False

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        infeasible: Literal["drop", "raise"] = "drop",
        beam_width: int = 1,
        causal: bool = False,
        **options: Unpack[TaskOptions],
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
        super().__init__(spec, loss=CTC, pooling=None, attention=False, causal=causal, **options)
        self.infeasible = infeasible
        self.beam_width = beam_width
        self._rows = torch.empty(0, dtype=torch.long)  # of the current batch
        self._left_out: dict[str, set[int]] = {}  # by stage, rows that cannot be aligned
        self._named: set[str] = set()  # stages whose rows were named

    @property
    def names(self) -> list[str]:
        """The label names."""
        return cast(list[str], self.target["names"])

    def output_size(self) -> int:
        """Return one score per label, and one for the blank, which is the last."""
        return len(self.names) + 1

    def plan_units(self, plan: Any) -> float:
        """Return the mean number of sequences in a step."""
        return float(plan.sequences_per_step)

    def batch_units(self, batch: Batch) -> int:
        """Return the number of sequences in a batch."""
        return len(batch.rows)

    def build_metrics(self) -> list[MetricCollection]:
        """Build the label and sequence error rates."""
        return [MetricCollection({"errors": ErrorRates()})]

    def build_report(self) -> list[ReportMetric]:
        """Build the report of edits."""
        return [EditReport(self.names)]

    def describe_rows(self, output: TaskOutput, places: Sequence[int]) -> list[RowReport]:
        """Describe some rows by their predicted labels and the nearest reference, None for unknown labels."""
        predicted = split(self.decode(packed.pack(select_sequences(output.output, places))))
        true, _ = nearest(predicted, split(packed.pack(select_sequences(output.target, places))))
        names = dict(enumerate(self.names)) | {UNKNOWN: None}
        sides = (
            [[names[i] for i in ids.tolist()] for ids in torch.split(side.labels, side.lengths.tolist())]
            for side in (predicted, true)
        )
        return [
            RowReport({"predicted": own, "true": reference}, f"{joined_labels(reference)} → {joined_labels(own)}")
            for own, reference in zip(*sides, strict=True)
        ]

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Return predicted and true label sequences."""
        return [(self.decode(output), target)]

    def decode(self, output: Values) -> PackedSequence:
        """Return the most probable label sequence of each row, on the CPU; see :mod:`seqkit.labels`."""
        return collect(self._emit(output))

    def predict_values(self, encoded: list[Encoded], *, scores: bool = False) -> dict[str, Values]:
        """Return the labels that the steps of the most probable paths emit, data (N,), and their probabilities."""
        output = cast(PackedSequence, self.read(encoded))
        emitted = self._emit(output)
        found: dict[str, Values] = {self.target_column: emitted, NAN: output.data.isnan().any()}
        if scores:
            each = full_precision(output.data).softmax(-1)
            chosen = each.gather(1, emitted.data.clamp(min=0)[:, None])[:, 0]
            found[f"{self.target_column}_scores"] = emitted._replace(data=chosen)
        return found

    def columns_to_python(self, found: dict[str, Values]) -> dict[str, list[Any]]:
        """Turn what the steps emit into the names of each row's labels, and their probabilities into lists."""
        emitted = cast(PackedSequence, found[self.target_column])
        plain = super().columns_to_python({self.target_column: collect(emitted), NAN: found[NAN]})
        for column, scores in found.items():
            if column not in (self.target_column, NAN):
                pairs = zip(packed.unpack(emitted), packed.unpack(cast(PackedSequence, scores)), strict=True)
                plain[column] = [values[labels >= 0].tolist() for labels, values in pairs]
        return plain

    def _emit(self, output: Values) -> PackedSequence:
        """Decode without waiting for an accelerator: the label that each step emits, or -1, data (N,)."""
        scores = cast(PackedSequence, output)
        if self.beam_width == 1:
            return best_path_steps(scores)
        (emitted,), _ = beam_search_steps(scores, self.beam_width, 1)
        return emitted

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return the names of a row's labels."""
        return [self.names[i] for i in predicted.tolist() if i != END]

    def task_output(self, output: Values, batch: Batch) -> TaskOutput:
        """Combine a batch's output with its target on the CPU, where label sequences are split."""
        self._rows = batch.rows
        (target,) = packed.to_host([batch.targets[self.target_column]])
        return TaskOutput(output, target)

    def loss_and_update(self, output: TaskOutput, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute a batch's loss over the rows that can be aligned, and update the metrics.

        Raises:
            ValueError: A row cannot be aligned, and ``infeasible`` is ``raise``.
        """
        self._leave_out(*output, stage)
        return super().loss_and_update(output, stage)

    def sequence_losses(self, output: TaskOutput) -> Tensor:
        """Return the loss of each row, (B,); 0 for one that cannot be aligned."""
        losses = cast(CTC, self.loss).each(cast(PackedSequence, output.output), cast(PackedSequence, output.target))
        return losses.detach().masked_fill(losses.isposinf(), 0.0)

    def on_train_epoch_end(self) -> None:
        """Log the number of training rows that cannot be aligned, and name them once."""
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
        """Remember the rows of a batch that cannot be aligned."""
        steps, references = packed.lengths(cast(PackedSequence, output)), split(cast(PackedSequence, target))
        needed = torch.full_like(steps, _IMPOSSIBLE)
        needed.scatter_reduce_(0, references.rows, steps_needed(references), "amin")
        places = (needed > steps).nonzero()[:, 0]
        if not len(places):
            return
        rows = self._rows.cpu()[places].tolist()
        self._left_out.setdefault(stage, set()).update(rows)
        if self.infeasible == "raise":
            has, needs = int(steps[places[0]]), int(needed[places[0]])
            if needs == _IMPOSSIBLE:
                reason = f"{self.target_column!r} holds a label that training did not have; "
            else:
                reason = (
                    f"{has} steps, but its labels in {self.target_column!r} need {needs}; give the encoder more "
                    f"steps (seqkit.nn.Upsample), "
                )
            raise ValueError(f'row {rows[0]}: {reason}drop the row with dataset.filter, or set infeasible="drop"')

    def _log_left_out(self, stage: str) -> None:
        found = [self._left_out.pop(stage, set())]
        if self.trainer.world_size > 1:  # each rank has its own rows
            found *= self.trainer.world_size
            torch.distributed.all_gather_object(found, found[self.trainer.global_rank])
        rows = sorted(set().union(*found))
        self.log(f"{stage}_infeasible", float(len(rows)), sync_dist=True, reduce_fx="max", batch_size=1)
        if rows and stage not in self._named and not self.trainer.sanity_checking:
            self._named.add(stage)
            some = ", ".join(map(str, rows[:20])) + (" …" if len(rows) > 20 else "")
            rank_zero_info(
                f"rows of {stage} that have fewer steps than their labels in {self.target_column!r} need, or a "
                f"label that training lacks, and do not count in the loss: {some}"
            )
