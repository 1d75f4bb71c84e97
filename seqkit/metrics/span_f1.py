"""Precision, recall and F1 of spans that are written as tags."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric

from seqkit.labels import Scheme, parse_tags
from seqkit.metrics.classification import precision_recall_f1
from seqkit.packed import PackedLayout


class SpanF1(Metric):
    """Precision, recall and F1 of spans: one is right if its first token, its last token and its type are.

    By default tags are read as the script conlleval and seqeval's default mode do, for all schemes alike: whatever
    is not outside belongs to a span, which begins at B and S, after E, S and outside, and where the type changes.
    ``strict`` reads them as seqeval's strict mode: what the scheme does not allow is no span.

    Computes ``span_precision``, ``span_recall`` and ``span_f1`` over all spans (micro), ``span_f1_macro``, the mean
    of F1 over the types that occur in the truth or the predictions, and, if asked, ``span_f1_TYPE``. 0/0 is 0.

    Args:
        names: The C tag names.
        scheme: The scheme.
        strict: Count only well-formed spans.
        per_type: Report each type's F1, too.

    Raises:
        ValueError: A name is none of the scheme.
    """

    full_state_update = False
    higher_is_better = True
    _kinds: Tensor
    _starts: Tensor
    _inside: Tensor
    _ends: Tensor
    correct: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(
        self, names: Sequence[str], *, scheme: Scheme = "BIO", strict: bool = False, per_type: bool = False
    ) -> None:
        super().__init__()
        tags = parse_tags(names, scheme)
        self.types = sorted({kind for _, kind in tags if kind})
        self.per_type = per_type
        kinds = [self.types.index(kind) if kind else -1 for _, kind in tags]
        self.register_buffer("_kinds", torch.tensor([*kinds, -1]), persistent=False)
        starts, inside, ends = _tables([*tags, ("O", "")], scheme, strict=strict)  # C is outside the sequence
        self.register_buffer("_starts", starts, persistent=False)
        self.register_buffer("_inside", inside, persistent=False)
        self.register_buffer("_ends", ends, persistent=False)
        for state in ("correct", "predicted", "actual"):
            self.add_state(state, torch.zeros(len(self.types), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: PackedSequence, target: PackedSequence) -> None:
        """Count the spans of a batch.

        Args:
            predicted: Data (N,), tag ids.
            target: Data (N,), tag ids packed like ``predicted``; an id below 0 (an ``ignore_index``) is outside.

        Raises:
            ValueError: The two are packed differently.
        """
        if not torch.equal(predicted.batch_sizes, target.batch_sizes):
            raise ValueError(
                f"SpanF1: {len(predicted.data)} predicted tags and {len(target.data)} true ones are packed by "
                f"different lengths; pack both by the same lengths"
            )
        if not len(target.data):
            return
        order, first = _sequence_after_sequence(target)
        found, truth = (self._spans(values.data[order], first) for values in (predicted, target))
        right = (found[0] == truth[0]) & (found[1] == truth[1])
        for state, (kind, _), which in (
            (self.correct, truth, right & (truth[0] >= 0)),
            (self.predicted, found, found[0] >= 0),
            (self.actual, truth, truth[0] >= 0),
        ):
            # Adding zeros or ones at every token needs no size from the device.
            state.index_add_(0, kind.clamp(min=0), which.to(state.dtype))

    def compute(self) -> dict[str, Tensor]:
        """All scores, in [0, 1]."""
        precision, recall, f1 = precision_recall_f1(self.correct.sum(), self.predicted.sum(), self.actual.sum())
        each = precision_recall_f1(self.correct, self.predicted, self.actual)[:, 2]
        occurs = (self.predicted + self.actual) > 0
        values = {
            "span_precision": precision,
            "span_recall": recall,
            "span_f1": f1,
            "span_f1_macro": each.sum() / occurs.sum().clamp(min=1),
        }
        if self.per_type:
            values |= {f"span_f1_{name}": each[i] for i, name in enumerate(self.types)}
        return values

    def _spans(self, tags: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """At each token that begins a span its type, else -1; and the place of its last token."""
        outside = len(self._kinds) - 1
        tags = torch.where(tags < 0, outside, tags)
        last = first.roll(-1)
        before = torch.where(first, outside, tags.roll(1))
        after = torch.where(last, outside, tags.roll(-1))
        starts, inside = self._starts[before, tags], self._inside[before, tags]
        # What neither begins nor goes on with a span holds none that the next token could go on with.
        dead = ~inside & ~starts
        inside = inside & ~(dead.roll(1) & ~first)
        begins = ~inside
        places = torch.arange(len(tags), device=tags.device)
        # The next beginning to the right, less one: by a running minimum from the end.
        edges = torch.where(begins, places, len(tags))
        following = torch.cat([edges[1:], edges.new_full((1,), len(tags))])
        final = following.flip(0).cummin(0).values.flip(0) - 1
        whole = begins & starts & self._ends[tags, after][final]
        return torch.where(whole, self._kinds[tags], -1), final


def _tables(tags: Sequence[tuple[str, str]], scheme: Scheme, *, strict: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Of neighbours (first, second): the second begins a span; it goes on with one; the first ends one."""

    def starts(before: tuple[str, str], tag: tuple[str, str]) -> bool:
        (p, kind), (q, other) = before, tag
        if not strict:
            return q != "O" and not inside(before, tag)
        if scheme == "IOB1":
            if q == "B":
                return p in "BI" and kind == other
            return q == "I" and (p in "OB" or kind != other)
        return q in "BS"

    def inside(before: tuple[str, str], tag: tuple[str, str]) -> bool:
        (p, kind), (q, other) = before, tag
        return p in "BI" and q in "IE" and kind == other

    def ends(tag: tuple[str, str], after: tuple[str, str]) -> bool:
        (p, kind), (q, other) = tag, after
        if strict and scheme == "IOB1":
            return not (p == "B" and q == "B" and kind != other)
        return not (strict and scheme == "BIOES") or p in "ES"

    first, second, third = (
        torch.tensor([[rule(a, b) for b in tags] for a in tags]) for rule in (starts, inside, ends)
    )
    return first, second, third


def _sequence_after_sequence(values: PackedSequence) -> tuple[Tensor, Tensor]:
    """The order (N,) that lays packed tokens out sequence after sequence, and which of them are first ones."""
    layout = PackedLayout.of(values)
    order = layout.by_sequence(values.unsorted_indices)
    return order, layout.positions[order] == 0
