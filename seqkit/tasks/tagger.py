"""One label, or one set of labels, a token."""

from collections.abc import Callable
from typing import Any, Literal, cast

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.labels import Scheme, allowed_transitions, detect_scheme
from seqkit.losses import Loss, Values, unit_values
from seqkit.metrics import SpanF1
from seqkit.nn.crf import CRF
from seqkit.tasks.base import Part, Schedule
from seqkit.tasks.labels import LabelTask
from seqkit.tasks.module import TaskOutput


class Tagger(LabelTask):
    """Label every token: parts of speech, named entities, kinds of characters, events in a series.

    Tags that follow a scheme of spans are scored by span F1, too, and that says which checkpoint is best. With
    a ``decoder`` the loss is the negative log-likelihood of whole sequences of tags, and predictions are the best
    sequences. That loss, too, is counted a token: the sum over sequences is divided by the number of their tokens.
    Tokens without a label (a null in the data) count nowhere; a CRF sums over what they may be.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``. Its one target is a class or labels a token.
        encoder: See :class:`~seqkit.tasks.base.Task`.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        loss: By default cross-entropy, or binary cross-entropy where a token has any number of labels.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        causal: See :class:`~seqkit.tasks.base.Task`.
        per_class: Report each class's F1, too, and each type's where tags follow a scheme.
        decoder: :class:`seqkit.nn.CRF`, without its number of tags; by default each token is labelled by itself.
        scheme: How tags write spans (see :mod:`seqkit.labels`). ``auto`` looks at their names, which cannot tell
            IOB1 from BIO and are taken for BIO; ``none``: they write no spans.
        constrained: Whether the decoder gives probability to what the scheme allows only. Data that breaks its
            scheme trains without.

    Raises:
        ValueError: The target is not a label per token; a decoder with a loss, or for sets of labels; a tag name is
            none of the scheme; see also :class:`~seqkit.tasks.base.Task`.
    """

    per = "token"

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        loss: Callable[[], Loss] | None = None,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        causal: bool = False,
        per_class: bool = False,
        decoder: Callable[[int], CRF] | None = None,
        scheme: Literal["auto", "none", "BIO", "IOB1", "BIOES"] = "auto",
        constrained: bool = True,
    ) -> None:
        self._scheme = scheme
        super().__init__(
            spec,
            encoder,
            embedding,
            embeddings,
            None,
            loss,
            dropout,
            optimizer,
            lr_scheduler,
            causal,
            per_class,
        )
        if self.scheme is not None:
            self.monitor = ("val_span_f1", "max")
        self.decoder = None
        if decoder is not None:
            if loss is not None or self.multilabel:
                raise ValueError(
                    "Tagger: a decoder has a loss of its own and gives each token one label; leave out `loss`, or "
                    "the decoder"
                )
            self.decoder = decoder(self.output_size())
            if constrained and self.scheme is not None:
                self.decoder.restrict(allowed_transitions(self.names, self.scheme))

    @property
    def scheme(self) -> Scheme | None:
        """How the tags write spans, or None."""
        if self.multilabel or self._scheme == "none":
            return None
        return detect_scheme(self.names) if self._scheme == "auto" else self._scheme

    def build_metrics(self) -> list[MetricCollection]:
        """Accuracy and F1 of tokens; where tags follow a scheme, of spans."""
        metrics = super().build_metrics()
        if self.scheme is not None:
            spans = SpanF1(self.names, scheme=self.scheme, per_type=self.per_class)
            metrics.append(MetricCollection({"spans": spans}))
        return metrics

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:
        """Predicted and true labels, flat, and packed where their order matters."""
        decoded = self.decode(output)
        pairs: list[tuple[Values, Values]] = [(unit_values(decoded), unit_values(target).long())]
        return pairs if self.scheme is None else [*pairs, (decoded, target)]

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss summed over the tokens that count, and their number."""
        if self.decoder is None:
            return super().compute_loss(output, target)
        scores, tags = cast(PackedSequence, output), cast(PackedSequence, target)
        total = -self.decoder(scores, tags).sum()
        return total, (tags.data != self.decoder.ignore_index).sum()

    def sequence_losses(self, outcome: TaskOutput) -> Tensor:
        """The mean loss a token of each sequence, (B,); 0 where no token counts."""
        if self.decoder is None:
            return super().sequence_losses(outcome)
        scores, tags = cast(PackedSequence, outcome.output), cast(PackedSequence, outcome.target)
        known = packed.sum(tags._replace(data=tags.data != self.decoder.ignore_index))
        likelihood: Tensor = self.decoder(scores, tags).detach()
        return -likelihood / known.clamp(min=1)

    def decode(self, output: Values) -> Values:
        """The likeliest label of each token, or the likeliest labels of a sequence."""
        if self.decoder is None:
            return super().decode(output)
        return self.decoder.decode(cast(PackedSequence, output))
