"""The algebra on PackedSequence: what stands between a batch of sequences and its numbers, without padding.

A ``PackedSequence`` holds B sequences of N tokens in all, longest first, one time step after the other::

    >>> packed = pack([torch.tensor([1, 2, 3]), torch.tensor([3, 4])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 3, 2, 4, 3]), tensor([2, 2, 1]))

``batch_sizes[t]`` counts the sequences longer than t. A token is told by its *step* t and its *rank* b, the
place of its sequence among the sorted ones, and stands at ``starts[t] + b``: every function here is that
equation and a gather or a scatter. All are differentiable, take any trailing dimensions and a pack of no
sequences, and honour ``unsorted_indices``: what is per sequence comes in the original order.

None makes the host wait for an accelerator, except where the host must read a permutation: ``lengths`` and
``unpack`` of a pack that carries one, and ``cat`` and ``attend`` of packs that were sorted one by one.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.layout import PackedLayout, conjugate, move, token_positions, token_ranks

__all__ = [
    "PackedLayout",
    "apply",
    "attend",
    "cat",
    "conjugate",
    "first",
    "from_padded",
    "last",
    "lengths",
    "max",
    "mean",
    "pack",
    "positions",
    "reverse",
    "sequences",
    "shift",
    "softmax",
    "sum",
    "to_padded",
    "token_positions",
    "token_ranks",
    "unpack",
]


# To and from packed


def pack(
    sequences: Sequence[Tensor] | Tensor,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    enforce_sorted: bool = False,
) -> PackedSequence:
    """Pack sequences, bit for bit as ``torch.nn.utils.rnn.pack_sequence`` does, without padding them first.

    Args:
        sequences: B tensors (L_i, ...), or their values (N, ...) one after the other, which need ``lengths``.
        lengths: (B,) integers on the CPU, each at least 1.
        enforce_sorted: The sequences already stand longest first, and the result carries no permutation.
            Otherwise they are sorted by torch's own call, which orders equal lengths differently on different
            machines; for one order everywhere sort them stably beforehand.

    Raises:
        ValueError: A sequence is empty, or differs from the first in trailing shape, dtype or device;
            ``lengths`` is missing, superfluous or does not sum to N; ``enforce_sorted`` is untrue.
    """
    if isinstance(sequences, Tensor):
        if lengths is None:
            raise ValueError("pack: values in one tensor need lengths, the number of tokens of each row")
        counts = _checked(lengths)
        if int(counts.sum()) != sequences.shape[0]:
            raise ValueError(
                f"pack: lengths sum to {int(counts.sum())} but there are {sequences.shape[0]} values; "
                "give the rows' values one after the other, without padding"
            )
        values = sequences
    else:
        if lengths is not None:
            raise ValueError("pack: a list of sequences has its own lengths; leave them out")
        if not sequences:
            raise ValueError("pack: an empty list has no dtype; give values of shape (0, ...) and lengths []")
        counts = _checked([len(sequence) for sequence in sequences])
        kinds = [(tuple(sequence.shape[1:]), sequence.dtype, sequence.device) for sequence in sequences]
        for row, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise ValueError(
                    f"pack: row {row} has (trailing shape, dtype, device) {kind} but row 0 {kinds[0]}; "
                    "rows packed together differ in length only"
                )
        values = torch.cat(list(sequences))
    return _gather(values, counts.cumsum(0) - counts, counts, enforce_sorted)


def unpack(packed: PackedSequence) -> list[Tensor]:
    """Give the B sequences (L_i, ...) back in their original order, views of one new tensor (N, ...)."""
    index = _layout(packed).by_sequence(packed.unsorted_indices)
    return list(torch.split(packed.data.index_select(0, index), lengths(packed).tolist()))


def from_padded(padded: Tensor, lengths: Tensor | Sequence[int], *, enforce_sorted: bool = False) -> PackedSequence:
    """Pack what is padded on the right (B, T, ...), as ``pack_padded_sequence`` with ``batch_first`` does.

    Args:
        padded: (B, T, ...) with T at least the longest length.
        lengths: (B,) integers on the CPU, each at least 1.
        enforce_sorted: As in ``pack``.

    Raises:
        ValueError: A length is below 1 or above T, there are not B of them, or they do not fall as promised.
    """
    counts = _checked(lengths)
    num_sequences, width = padded.shape[:2]
    if len(counts) != num_sequences:
        raise ValueError(f"from_padded: {len(counts)} lengths for {num_sequences} rows; give each row one")
    if (over := (counts > width).nonzero()).numel():
        row = int(over[0])
        raise ValueError(
            f"from_padded: row {row} has length {int(counts[row])} but the padded width is {width}; "
            "the dimensions are (B, T, ...)"
        )
    return _gather(padded.flatten(0, 1), torch.arange(num_sequences) * width, counts, enforce_sorted)


def to_padded(
    packed: PackedSequence, value: float = 0.0, total_length: int | None = None, *, batch_first: bool = True
) -> Tensor:
    """Pad on the right to (B, T, ...), or to (T, B, ...) without ``batch_first``, as ``pad_packed_sequence`` does.

    Args:
        packed: Data (N, ...).
        value: What fills the steps after a sequence's end.
        total_length: T, where it should be more than the longest length.
        batch_first: Whether the first dimension is B.

    Raises:
        ValueError: ``total_length`` is less than the longest length.
    """
    longest = len(packed.batch_sizes)
    width = longest if total_length is None else total_length
    if width < longest:
        raise ValueError(f"to_padded: total_length is {width} but the longest sequence has {longest} tokens")
    data, count = packed.data, _count(packed)
    own, steps = sequences(packed), positions(packed)
    index, shape = (own * width + steps, (count, width)) if batch_first else (steps * count + own, (width, count))
    padded = data.new_full((count * width, *data.shape[1:]), value).index_copy(0, index, data)
    return padded.view(*shape, *data.shape[1:])


# Structure


def lengths(packed: PackedSequence) -> Tensor:
    """Count the tokens of each sequence: (B,) int64 on the CPU, in the original order."""
    counts = PackedLayout.of(packed).lengths
    return counts if packed.unsorted_indices is None else counts[packed.unsorted_indices.cpu()]


def positions(packed: PackedSequence) -> Tensor:
    """Tell each token's time step in its sequence, from 0: (N,) int64 on the data's device."""
    return _layout(packed).positions


def sequences(packed: PackedSequence) -> Tensor:
    """Tell each token's sequence, as an index in the original order: (N,) int64 on the data's device."""
    ranks = _layout(packed).ranks
    return ranks if packed.sorted_indices is None else packed.sorted_indices[ranks]


# Token by token


def apply(packed: PackedSequence, function: Callable[[Tensor], Tensor]) -> PackedSequence:
    """Change the data (N, ...) by a function of tokens, which gives (N, ...), and keep the structure.

    Raises:
        ValueError: The function gave another number of tokens.
    """
    data = function(packed.data)
    if data.shape[:1] != packed.data.shape[:1]:
        raise ValueError(
            f"apply: {len(packed.data)} tokens became a tensor of shape {tuple(data.shape)}; "
            "the function must keep the first dimension"
        )
    return packed._replace(data=data)


def cat(packs: Sequence[PackedSequence]) -> PackedSequence:
    """Put the features of equally structured packs side by side: data (N, ..., D_1 + D_2 + ...).

    Raises:
        ValueError: The packs differ in structure, or have no feature dimension.
    """
    _check_aligned("cat", packs)
    if packs[0].data.dim() < 2:
        raise ValueError("cat: data of shape (N,) has no feature dimension; make it (N, 1)")
    return packs[0]._replace(data=torch.cat([packed.data for packed in packs], dim=-1))


def reverse(packed: PackedSequence) -> PackedSequence:
    """Reverse each sequence in time, in its own length: data (N, ...)."""
    return packed._replace(data=packed.data.index_select(0, _layout(packed).reversal))


def shift(packed: PackedSequence, steps: int, fill: float) -> PackedSequence:
    """Move each sequence's tokens ``steps`` later in time, within its length: data (N, ...).

    ``shift(packed, 1, fill)`` puts the previous token in each place, ``shift(packed, -1, fill)`` the next one
    (a language model's targets). What leaves the sequence is lost; ``fill`` takes the places left empty.
    """
    layout = _layout(packed)
    source = layout.positions - steps
    outside = (source < 0) | (source >= layout.lengths[layout.ranks])
    data = packed.data.index_select(0, layout.index(source.masked_fill(outside, 0), layout.ranks))
    return packed._replace(data=data.masked_fill(_broadcast(outside, data), fill))


# One value a sequence


def first(packed: PackedSequence) -> Tensor:
    """Take each sequence's first token: (B, ...)."""
    return _unsort(packed.data[: _count(packed)], packed)


def last(packed: PackedSequence) -> Tensor:
    """Take each sequence's last token: (B, ...)."""
    return packed.data.index_select(0, _unsort(_layout(packed).last, packed))


def sum(packed: PackedSequence) -> Tensor:
    """Sum over each sequence: (B, ...), for integers and booleans int64, as ``torch.sum`` does."""
    return _round(_sum(packed.data, sequences(packed), _count(packed)), packed.data)


def mean(packed: PackedSequence) -> Tensor:
    """Average over each sequence: (B, ...), for integers and booleans in the default float type."""
    totals = _sum(packed.data, sequences(packed), _count(packed))
    counts = _unsort(_layout(packed).lengths, packed)
    return _round(totals / _broadcast(counts, totals), packed.data)


def max(packed: PackedSequence) -> Tensor:
    """Take the maximum over each sequence: (B, ...); equal maxima share the gradient (see ``torch.amax``)."""
    # Reduced into the first tokens: a filled tensor would take its share of the gradient where the fill ties,
    # which scatter_reduce's backward does also under include_self=False.
    others = packed.data[_count(packed) :]
    index = _broadcast(sequences(packed)[_count(packed) :], others).expand_as(others)
    return first(packed).scatter_reduce(0, index, others, "amax")


def softmax(scores: PackedSequence) -> PackedSequence:
    """Normalise scores over each sequence, each trailing place on its own: data (N, ...) that sums to 1."""
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
            with values (N, K, D) weigh each of K heads on its own. A dimension may be 1.

    Raises:
        ValueError: The two differ in structure.
        RuntimeError: The scores' dimensions are not the values' leading ones.
    """
    _check_aligned("attend", [values, scores])
    weighted = values.data * _broadcast(softmax(scores).data, values.data).expand_as(values.data)
    return _round(_sum(weighted, sequences(values), _count(values)), weighted)


# Below here, everything is trusted


def _gather(values: Tensor, offsets: Tensor, counts: Tensor, enforce_sorted: bool) -> PackedSequence:
    """Pack the B sequences which start at ``offsets`` (B,) in ``values`` and have ``counts`` (B,) tokens."""
    device, sorted_indices = values.device, None
    if enforce_sorted:
        if (rising := (counts[1:] > counts[:-1]).nonzero()).numel():
            row = int(rising[0]) + 1
            raise ValueError(
                f"row {row} has length {int(counts[row])} but row {row - 1} only {int(counts[row - 1])}; "
                "enforce_sorted promises the longest first: sort the rows, or leave it out"
            )
    else:
        counts, order = torch.sort(counts, descending=True)  # not stable, hence the very call torch makes
        offsets, sorted_indices = offsets[order], move(order, device)
    layout = PackedLayout.from_lengths(counts)
    data = values.index_select(0, layout.on(device).gather_index(move(offsets, device)))
    return PackedSequence(data, layout.batch_sizes, sorted_indices)


def _layout(packed: PackedSequence) -> PackedLayout:
    """The layout of a pack, on the device of its data."""
    return PackedLayout.of(packed).on(packed.data.device)


def _count(packed: PackedSequence) -> int:
    return int(packed.batch_sizes[0]) if len(packed.batch_sizes) else 0


def _unsort(sorted_values: Tensor, packed: PackedSequence) -> Tensor:
    """Bring what is per sequence (B, ...) from the packed order to the original one."""
    return sorted_values if packed.unsorted_indices is None else sorted_values[packed.unsorted_indices]


def _sum(data: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum data (N, ...) into the ``count`` places told by index (N,); stays in the accumulator's type."""
    data = data.to(_accumulator(data))
    return data.new_zeros(count, *data.shape[1:]).index_add(0, index, data)


def _accumulator(data: Tensor) -> torch.dtype:
    """Give the type to add in, as torch's own reductions choose it."""
    if data.dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    return data.dtype if data.is_floating_point() or data.is_complex() else torch.int64


def _round(result: Tensor, data: Tensor) -> Tensor:
    """Bring what was computed in the accumulator's type back to that of floating-point data."""
    return result.to(data.dtype) if data.is_floating_point() else result


def _broadcast(leading: Tensor, data: Tensor) -> Tensor:
    """Append dimensions of size 1 to ``leading`` (N, ...) until it has as many as ``data``."""
    return leading.reshape(leading.shape + (1,) * (data.dim() - leading.dim()))


def _checked(lengths: Tensor | Sequence[int]) -> Tensor:
    """Give lengths as (B,) int64, each at least 1."""
    counts = torch.as_tensor(lengths)
    if counts.device.type != "cpu":
        raise ValueError(f"lengths are on {counts.device}; keep them on the CPU, where batch_sizes must be")
    counts = counts.to(torch.int64)
    if (empty := (counts < 1).nonzero()).numel():
        row = int(empty[0])
        raise ValueError(
            f"row {row} has length {int(counts[row])}; a PackedSequence cannot hold an empty sequence: "
            "drop the row, or give it a token"
        )
    return counts


def _check_aligned(name: str, packs: Sequence[PackedSequence]) -> None:
    """Refuse packs whose tokens do not belong to one another place by place."""
    head = packs[0]
    for i, packed in enumerate(packs):
        if not torch.equal(packed.batch_sizes, head.batch_sizes):
            raise ValueError(
                f"{name}: pack 0 holds {len(head.data)} tokens in {_count(head)} sequences and pack {i} "
                f"{len(packed.data)} in {_count(packed)}, of other lengths; pack both from the same rows"
            )
        one, other = head.sorted_indices, packed.sorted_indices
        if one is not other and (one is None or other is None or not torch.equal(one, other)):
            raise ValueError(
                f"{name}: pack 0 and pack {i} hold their sequences in different orders; "
                "pack both with the same lengths, or sort the rows once and pack with enforce_sorted=True"
            )
