"""One label, or one set of labels, per token."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Unpack, cast

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.labels import (
    Allowed,
    Scheme,
    allowed_transitions,
    detect_scheme,
    forbidden,
    parse_tags,
    read_spans,
)
from seqkit.losses import Loss, Values, full_precision, unit_values, with_unit_values
from seqkit.metrics import ReportMetric, SpanF1, SpanReport
from seqkit.nn import CRF
from seqkit.tasks.inputs import TaskOptions
from seqkit.tasks.outputs import TaskOutput
from seqkit.tasks.targets import LabelTarget, ignore_index
from seqkit.tasks.task import Task


class Tagger(Task):
    """Label every token: parts of speech, named entities, kinds of characters, events in a series.

    If the tags follow a scheme of spans, span F1 is computed too and says which checkpoint is best. With a
    ``decoder`` the loss is the negative log-likelihood of whole sequences of tags, and predictions are the most
    probable sequences. That loss is also per token: the sum over sequences is divided by the number of their
    tokens. Tokens without a label (a null in the data) do not count; a CRF sums over all labels that they may have.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``. Its one target is a class or labels per token.
        loss: By default cross-entropy, or binary cross-entropy if a token has any number of labels.
        per_class: Report each class's F1, too, and each span type's if tags follow a scheme.
        decoder: :class:`seqkit.nn.CRF`, without its number of tags; by default each token is labelled by itself.
        scheme: How tags encode spans (see :mod:`seqkit.labels`). ``auto`` looks at their names and takes IOB1 for
            BIO, which names cannot distinguish; ``none``: they encode no spans.
        constrained: Whether the decoder gives probability only to what the scheme allows. A training row that
            breaks the scheme is then refused; in evaluation the loss leaves it out.
        causal: Whether the output at a step may depend on nothing later; refuses an encoder that is bidirectional
            or changes the steps, and a decoder.
        options: The encoder and the optimiser; see :class:`~seqkit.Task`.

    Attributes:
        is_constrained: Whether there is a decoder that allows only what the scheme does.

    Raises:
        ValueError: The target is not labels per token; a decoder with a loss, for sets of labels or in a causal
            tagger; a tag name does not follow the scheme; see also :class:`~seqkit.Task`.
    """

    counts_unseen_labels = True

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        loss: Callable[[], Loss] | None = None,
        per_class: bool = False,
        decoder: Callable[[int], CRF] | None = None,
        scheme: Literal["auto", "none", "BIO", "IOB1", "BIOES"] = "auto",
        constrained: bool = True,
        causal: bool = False,
        **options: Unpack[TaskOptions],
    ) -> None:
        self.labels = LabelTarget.from_spec(spec, per="token", task=type(self).__name__)
        self.per_class = per_class
        self._scheme = scheme
        self.is_constrained = False
        loss_class = loss or self.labels.default_loss()
        self.decoder: CRF | None = None
        super().__init__(spec, loss=loss_class, pooling=None, attention=False, causal=causal, **options)
        self.monitor = self.labels.monitor if self.scheme is None else ("val_span_f1", "max")
        if decoder is not None:
            if loss is not None or self.labels.multilabel:
                raise ValueError(
                    "Tagger: a decoder has a loss of its own and gives each token one label; leave out `loss`, or "
                    "the decoder"
                )
            if causal:
                raise ValueError(
                    "Tagger is causal, but its decoder chooses the tags of a sequence together: a tag would depend "
                    "on later steps; leave out the decoder, or set causal=False"
                )
            self.decoder = decoder(self.output_size())
            if constrained and self.scheme is not None:
                self.is_constrained = True
                self.decoder.restrict(allowed_transitions(self.labels.names, self.scheme))
            self.add_metrics()  # again, because they ignore what the decoder ignores

    @property
    def scheme(self) -> Scheme | None:
        """How the tags encode spans, or None."""
        if self.labels.multilabel or self._scheme == "none":
            return None
        return detect_scheme(self.labels.predictable) if self._scheme == "auto" else self._scheme

    @property
    def ignore_index(self) -> int:
        """The label that does not count."""
        return ignore_index(self.loss) if self.decoder is None else self.decoder.ignore_index

    def output_size(self) -> int:
        """Return one logit per label."""
        return self.labels.size

    def set_unseen(self, stage: str, names: Sequence[str]) -> None:
        """Count the labels of the evaluated split that training lacks as errors."""
        self.labels = self.labels.with_unseen(names)
        super().set_unseen(stage, names)

    def loss_target(self, target: Values) -> Values:
        """Leave tokens with labels that training lacks out of the loss; of a decoder, sequences it cannot give."""
        if self.decoder is None:
            return self.labels.without_unseen(target, self.ignore_index) if self.labels.unseen else target
        if not self.is_constrained and not self.labels.unseen:
            return target
        tags = cast(PackedSequence, target)
        impossible = tags.data >= self.labels.size
        if self.is_constrained:
            impossible |= forbidden(tags, self.allowed_tags, self.ignore_index).data
        left_out = (packed.sum(tags._replace(data=impossible)) > 0)[packed.sequences(tags)]
        return tags._replace(data=tags.data.masked_fill(left_out, self.ignore_index))

    @property
    def allowed_tags(self) -> Allowed:
        """What a constrained decoder allows, on the model's device."""
        return Allowed(*(getattr(self.decoder, f"allowed_{name}") for name in Allowed._fields))

    def build_metrics(self) -> list[MetricCollection]:
        """Build accuracy and F1 of tokens and, if tags follow a scheme, of spans."""
        metrics = [self.labels.build_metrics(self.ignore_index, per_class=self.per_class)]
        if self.scheme is not None:
            spans = SpanF1(
                self.labels.names,
                scheme=self.scheme,
                per_type=self.per_class,
                ignore_index=self.ignore_index,
                unseen=self.labels.unseen,
            )
            metrics.append(MetricCollection({"spans": spans}))
        return metrics

    def build_report(self) -> list[ReportMetric]:
        """Build the report by class or label and, if tags follow a scheme, by type of span."""
        report = [self.labels.build_report(self.ignore_index)]
        if self.scheme is not None:
            names, unseen = self.labels.names, self.labels.unseen
            spans = SpanReport(names, scheme=self.scheme, ignore_index=self.ignore_index, unseen=unseen)
            report.append(spans)
        return report

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Return predicted and true labels, flat, and packed for metrics of spans."""
        decoded = self.decode(output)
        pairs: list[tuple[Values, Values]] = [self.labels.metric_inputs(decoded, target)]
        return pairs if self.scheme is None else [*pairs, (decoded, target)]

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Compute the loss summed over the tokens that count, and return it with their number."""
        if self.decoder is None:
            return super().compute_loss(output, target)
        scores, tags = cast(PackedSequence, output), cast(PackedSequence, target)
        total = -self.decoder(scores, tags).sum()
        return total, (tags.data != self.decoder.ignore_index).sum()

    def sequence_losses(self, output: TaskOutput) -> Tensor:
        """Return the mean loss per token of each sequence, (B,); 0 where no token counts."""
        if self.decoder is None:
            return super().sequence_losses(output)
        scores, tags = cast(PackedSequence, output.output), cast(PackedSequence, self.loss_target(output.target))
        known = packed.sum(tags._replace(data=tags.data != self.decoder.ignore_index))
        likelihood: Tensor = self.decoder(scores, tags).detach()
        return -likelihood / known.clamp(min=1)

    def decode(self, output: Values) -> Values:
        """Return the most probable label of each token, or the most probable labels of a sequence."""
        if self.decoder is None:
            return self.labels.decode(output)
        return self.decoder.decode(cast(PackedSequence, output))

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return the label's name, or the list of names, of each token."""
        return self.labels.to_python(predicted)

    def probabilities(self, output: Values, predicted: Values) -> Values:
        """Return the probability of each token's predicted label, (N,), or of each label of a set, (N, C).

        With a decoder it is the label's marginal probability, over all sequences of labels.
        """
        scores = cast(PackedSequence, output)
        if self.labels.multilabel:
            return self.labels.probabilities(scores)
        if self.decoder is None:
            each = self.labels.probabilities(scores)
        else:
            each = self.decoder.marginals(scores._replace(data=full_precision(scores.data)))
        return with_unit_values(each, unit_values(each).gather(1, unit_values(predicted)[:, None])[:, 0])

    def scores_to_python(self, scores: Tensor) -> list[Any]:
        """Return the probability of each token's label, or of all labels by their names."""
        return self.labels.scores_to_python(scores)

    def columns_to_python(self, found: dict[str, Values]) -> dict[str, list[Any]]:
        """Turn predictions into plain types; add the spans as ``TARGET_spans`` if the tags follow a scheme."""
        plain = super().columns_to_python(found)
        if self.scheme is not None:
            names = self.labels.predictable
            tags = dict(zip(names, parse_tags(names, self.scheme), strict=True))
            rows = plain[self.target_column]
            plain[f"{self.target_column}_spans"] = [read_spans(tags[name] for name in row) for row in rows]
        return plain
