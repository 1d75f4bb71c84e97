"""Reductions of a PackedSequence to one value a sequence, and attention over each sequence."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.layout import PackedLayout
from seqkit.packed.structure import broadcast, check_aligned, sequences


def first(packed: PackedSequence) -> Tensor:
    """Take each sequence's first token: (B, ...)."""
    return _unsort(packed.data[: _count(packed)], packed)


def last(packed: PackedSequence) -> Tensor:
    """Take each sequence's last token: (B, ...)."""
    return packed.data.index_select(0, _unsort(PackedLayout.of(packed).last, packed))


def sum(packed: PackedSequence) -> Tensor:
    """Sum over each sequence: (B, ...), for integers and booleans int64, as ``torch.sum`` does."""
    return _round(_sum(packed.data, sequences(packed), _count(packed)), packed.data)


def mean(packed: PackedSequence) -> Tensor:
    """Average over each sequence: (B, ...), for integers and booleans in the default float type."""
    totals = _sum(packed.data, sequences(packed), _count(packed))
    counts = _unsort(PackedLayout.of(packed).lengths, packed)
    return _round(totals / broadcast(counts, totals), packed.data)


def max(packed: PackedSequence) -> Tensor:
    """Take the maximum over each sequence: (B, ...); equal maxima share the gradient (see ``torch.amax``)."""
    # Reduced into the first tokens: a filled tensor would take a share of the gradient where the fill equals the
    # maximum, and so does scatter_reduce's backward even with include_self=False.
    others = packed.data[_count(packed) :]
    index = broadcast(sequences(packed)[_count(packed) :], others).expand_as(others)
    return first(packed).scatter_reduce(0, index, others, "amax")


def softmax(scores: PackedSequence) -> PackedSequence:
    """Normalise scores over each sequence, separately for each trailing index: data (N, ...) that sums to 1."""
    index, count = sequences(scores), _count(scores)
    data = scores.data.to(_accumulator(scores.data))
    peaks = max(scores._replace(data=data.detach()))  # (B, ...); keeps exp in range, cancels in the quotient
    weights = (data - peaks.index_select(0, index)).exp()
    totals = _sum(weights, index, count)
    return scores._replace(data=_round(weights / totals.index_select(0, index), scores.data))


def attend(values: PackedSequence, scores: PackedSequence) -> Tensor:
    """Sum each sequence's values weighted by the softmax of its scores: (B, ...).

    Args:
        values: Data (N, ...).
        scores: Data (N,), one weight a token, or with more of the values' leading dimensions: scores (N, K)
            with values (N, K, D) weigh each of K heads separately. A dimension may be 1.

    Raises:
        ValueError: The two differ in structure.
        RuntimeError: The scores' dimensions are not the values' leading ones.
    """
    check_aligned("attend", [values, scores])
    weighted = values.data * broadcast(softmax(scores).data, values.data).expand_as(values.data)
    return _round(_sum(weighted, sequences(values), _count(values)), weighted)


def _count(packed: PackedSequence) -> int:
    return PackedLayout.of(packed).num_sequences


def _unsort(sorted_values: Tensor, packed: PackedSequence) -> Tensor:
    """Bring values per sequence (B, ...) from the packed order to the original one."""
    return sorted_values if packed.unsorted_indices is None else sorted_values[packed.unsorted_indices]


def _sum(data: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum data (N, ...) into ``count`` rows, each token into its ``index`` (N,); keeps the accumulator's type."""
    data = data.to(_accumulator(data))
    return data.new_zeros(count, *data.shape[1:]).index_add(0, index, data)


def _accumulator(data: Tensor) -> torch.dtype:
    """Choose the type to add in, as torch's own reductions do."""
    if data.dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    return data.dtype if data.is_floating_point() or data.is_complex() else torch.int64


def _round(result: Tensor, data: Tensor) -> Tensor:
    """Bring a result from the accumulator's type back to that of floating-point data."""
    return result.to(data.dtype) if data.is_floating_point() else result
