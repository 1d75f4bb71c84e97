"""Precision, recall and F1 of spans that are encoded as tags."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric

from seqkit.labels import Scheme, parse_tags
from seqkit.metrics.base import ClassCounts
from seqkit.metrics.classification import precision_recall_f1
from seqkit.packed import PackedLayout, to_device


class SpanF1(Metric, ClassCounts):
    """Precision, recall and F1 of spans: a span is correct if its first token, last token and type are.

    By default, tags of all schemes are read as by the script conlleval and the default mode of seqeval: every token
    that is not outside belongs to a span, and a span begins at B and S, after E, S and outside, and where the type
    changes. ``strict`` reads them as the strict mode of seqeval: spans that the scheme does not allow are ignored.

    Computes ``span_precision``, ``span_recall`` and ``span_f1`` over all spans (micro); ``span_f1_macro``, the mean
    of F1 over the types that occur in the targets or the predictions; with ``per_type`` also ``span_f1_TYPE``. 0/0
    is 0.

    Tokens that do not count are left out of the predictions and of the targets before spans are read, as in the
    examples of `transformers`: a prediction ``B I I`` of targets ``B`` (ignored) ``I`` is one correct span.

    Args:
        names: The C tag names.
        scheme: The scheme.
        strict: Count only well-formed spans.
        per_type: Also report the F1 of each type.
        ignore_index: A target that does not count. Targets below 0 never count.
        unseen: The number of the last names, which only targets have. They need not belong to the scheme: one
            without a prefix of a span is outside.

    Raises:
        ValueError: A name does not belong to the scheme.
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
        self,
        names: Sequence[str],
        *,
        scheme: Scheme = "BIO",
        strict: bool = False,
        per_type: bool = False,
        ignore_index: int = -100,
        unseen: int = 0,
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        known = len(names) - unseen
        tags = [*parse_tags(names[:known], scheme), *map(_parse_any, names[known:])]
        self.types = sorted({kind for _, kind in tags if kind})
        self.per_type = per_type
        self._support: Tensor | None = None
        kinds = [self.types.index(kind) if kind else -1 for _, kind in tags]
        # No buffers: Lightning's averages of weights swap those of two models, which may have other names.
        # C is outside.
        self._kinds = torch.tensor([*kinds, -1])
        self._starts, self._inside, self._ends = _tables([*tags, ("O", "")], scheme, strict=strict)
        for state in ("correct", "predicted", "actual"):
            self.add_state(state, torch.zeros(len(self.types), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: PackedSequence, target: PackedSequence) -> None:
        """Count the spans of a batch.

        Args:
            predicted: Data (N,), tag ids.
            target: Data (N,), tag ids packed like ``predicted``; tokens with ``ignore_index`` or an id below 0 do
                not count.

        Raises:
            ValueError: The two are packed differently.
        """
        if not torch.equal(predicted.batch_sizes, target.batch_sizes):
            raise ValueError(
                f"SpanF1: {len(predicted.data)} predicted tags and {len(target.data)} true ones are packed with "
                f"different lengths; pack both with the same lengths"
            )
        if not len(target.data):
            return
        self._move_tables(target.data.device)
        layout = PackedLayout.of(target)
        order = layout.by_sequence(target.unsorted_indices)
        # Ignored tokens move behind the others, outside all spans: selecting would make the host wait for a device.
        ignored = ((target.data < 0) | (target.data == self.ignore_index))[order]
        behind = ignored.int().argsort(stable=True)
        order, ignored = order[behind], ignored[behind]
        sequence = layout.ranks[order].masked_fill(ignored, -1)
        is_first = sequence != sequence.roll(1)
        is_first[0] = True
        (kinds, ends), (true_kinds, true_ends) = (
            self._spans(values.data[order].masked_fill(ignored, len(self._kinds) - 1), is_first)
            for values in (predicted, target)
        )
        is_correct = (kinds == true_kinds) & (ends == true_ends) & (true_kinds >= 0)
        for state, kind, counts in (
            (self.correct, true_kinds, is_correct),
            (self.predicted, kinds, kinds >= 0),
            (self.actual, true_kinds, true_kinds >= 0),
        ):
            # Add 0 or 1 at every token: selecting the spans would make the host wait, too.
            state.index_add_(0, kind.clamp(min=0), counts.to(state.dtype))

    def compute(self) -> dict[str, Tensor]:
        """Compute all scores, in [0, 1]."""
        self._support = self.actual.clone()  # of all ranks
        precision, recall, f1 = precision_recall_f1(self.correct.sum(), self.predicted.sum(), self.actual.sum())
        f1_by_type = precision_recall_f1(self.correct, self.predicted, self.actual)[:, 2]
        occurs = (self.predicted + self.actual) > 0
        values = {
            "span_precision": precision,
            "span_recall": recall,
            "span_f1": f1,
            "span_f1_macro": f1_by_type.sum() / occurs.sum().clamp(min=1).float(),
        }
        if self.per_type:
            values |= {f"span_f1_{name}": f1_by_type[i] for i, name in enumerate(self.types)}
        return values

    def class_counts(self) -> dict[str, int]:
        """Return the number of true spans of each type by the name of its F1; none without ``per_type``."""
        if not self.per_type or self._support is None:
            return {}
        names = (f"span_f1_{name}" for name in self.types)
        return dict(zip(names, self._support.tolist(), strict=True))

    def _move_tables(self, device: torch.device) -> None:
        if self._kinds.device != device:
            for name in ("_kinds", "_starts", "_inside", "_ends"):
                setattr(self, name, to_device(getattr(self, name), device))

    def _spans(self, tags: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
        """Find the spans of concatenated sequences (N,).

        Returns:
            The type of the span that begins at each token, or -1; and the index of its last token.
        """
        outside = len(self._kinds) - 1
        is_last = is_first.roll(-1)
        before = torch.where(is_first, outside, tags.roll(1))
        after = torch.where(is_last, outside, tags.roll(-1))
        starts, inside = self._starts[before, tags], self._inside[before, tags]
        # After a token that neither begins nor continues a span, there is none to continue.
        in_no_span = ~inside & ~starts
        inside = inside & ~(in_no_span.roll(1) & ~is_first)
        index = torch.arange(len(tags), device=tags.device)
        # A span ends before the next token that does not continue it: a running minimum from the end finds that.
        edges = torch.where(inside, len(tags), index)
        next_edges = torch.cat([edges[1:], edges.new_full((1,), len(tags))])
        last = next_edges.flip(0).cummin(0).values.flip(0) - 1
        is_span = ~inside & starts & self._ends[tags, after][last]
        return torch.where(is_span, self._kinds[tags], -1), last


def _parse_any(name: str) -> tuple[str, str]:
    """Split a tag of any scheme, or none, into its prefix and type."""
    is_span = name[:1] in "BIES" and name[1:2] == "-" and len(name) > 2
    return (name[0], name[2:]) if is_span else ("O", "")


def _tables(tags: Sequence[tuple[str, str]], scheme: Scheme, *, strict: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Tabulate, for each pair of neighbours: the second begins a span; continues one; the first ends one."""

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
