"""Conversions between lists of sequences, padded tensors, nested tensors and PackedSequence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.layout import PackedLayout
from seqkit.packed.structure import lengths as sequence_lengths
from seqkit.packed.structure import sequences as sequence_numbers
from seqkit.packed.transfer import to_device


def pack(
    sequences: Sequence[Tensor] | Tensor,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    enforce_sorted: bool = False,
) -> PackedSequence:
    """Pack sequences, bit for bit as ``torch.nn.utils.rnn.pack_sequence`` does, without padding them first.

    Args:
        sequences: B tensors (L_i, ...), or their concatenated values (N, ...), which need ``lengths``.
        lengths: (B,) integers on the CPU, each at least 1.
        enforce_sorted: The sequences are sorted already, longest first, and the result has no permutation.
            Otherwise torch's own call sorts them. Its order of equal lengths depends on the machine; for one order
            on all machines, sort them stably beforehand.

    Raises:
        ValueError: A sequence is empty, or differs from the first in trailing shape, dtype or device;
            ``lengths`` is missing, given for a list, or does not sum to N; the sequences are not sorted in spite of
            ``enforce_sorted``.
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
    return _gathered(values, counts.cumsum(0) - counts, counts, enforce_sorted)


def unpack(packed: PackedSequence) -> list[Tensor]:
    """Return the B sequences (L_i, ...) in their original order, as views of one new tensor (N, ...)."""
    if len(packed.batch_sizes) == 1 and packed.unsorted_indices is None:  # one step of a stream
        return list(torch.split(packed.data.clone(), 1))
    index = PackedLayout.of(packed).by_sequence(packed.unsorted_indices)
    return list(torch.split(packed.data.index_select(0, index), sequence_lengths(packed).tolist()))


def from_padded(padded: Tensor, lengths: Tensor | Sequence[int], *, enforce_sorted: bool = False) -> PackedSequence:
    """Pack a tensor padded on the right (B, T, ...), as ``pack_padded_sequence`` with ``batch_first`` does.

    Args:
        padded: (B, T, ...) with T at least the longest length.
        lengths: (B,) integers on the CPU, each at least 1.
        enforce_sorted: As in ``pack``.

    Raises:
        ValueError: A length is below 1 or above T, there are not B of them, or they are not sorted in spite of
            ``enforce_sorted``.
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
    return _gathered(padded.flatten(0, 1), torch.arange(num_sequences) * width, counts, enforce_sorted)


def to_padded(
    packed: PackedSequence, value: float = 0.0, total_length: int | None = None, *, batch_first: bool = True
) -> Tensor:
    """Pad on the right to (B, T, ...), or to (T, B, ...) without ``batch_first``, as ``pad_packed_sequence`` does.

    Args:
        packed: Data (N, ...).
        value: The value of the padding.
        total_length: T, if it should be more than the longest length.
        batch_first: Whether the first dimension is B.

    Raises:
        ValueError: ``total_length`` is less than the longest length.
    """
    longest = len(packed.batch_sizes)
    width = longest if total_length is None else total_length
    if width < longest:
        raise ValueError(f"to_padded: total_length is {width} but the longest sequence has {longest} tokens")
    data, layout = packed.data, PackedLayout.of(packed)
    count, numbers, positions = layout.num_sequences, sequence_numbers(packed), layout.positions
    index = numbers * width + positions if batch_first else positions * count + numbers
    padded = data.new_full((count * width, *data.shape[1:]), value).index_copy(0, index, data)
    return padded.view(*((count, width) if batch_first else (width, count)), *data.shape[1:])


def from_nested(nested: Tensor, *, enforce_sorted: bool = False) -> PackedSequence:
    """Pack a nested tensor (B, j, ...), whose rows have different lengths, without padding it.

    Args:
        nested: In the jagged layout, with or without gaps between its rows, or in the strided one.
        enforce_sorted: As in ``pack``.

    Returns:
        Data (N, ...), with the dtype, the device and the gradient of the nested tensor.

    Raises:
        ValueError: The tensor is not nested, or another dimension than the second differs between rows; a row is
            empty; the rows are not sorted in spite of ``enforce_sorted``.
    """
    if not nested.is_nested:
        raise ValueError(
            f"from_nested: a tensor of shape {tuple(nested.shape)} is not nested; use from_padded and its lengths"
        )
    if nested.layout != torch.jagged:
        return pack(list(nested.unbind()), enforce_sorted=enforce_sorted)
    width: Any = nested.shape[1]  # a symbol where rows differ
    if isinstance(width, int):
        raise ValueError(
            f"from_nested: rows differ in another dimension than the second of {tuple(nested.shape)}; transpose it "
            f"to (B, j, ...)"
        )
    jagged: Any = nested
    offsets, own = jagged.offsets(), jagged.lengths()
    counts = _checked((offsets.diff() if own is None else own).cpu())
    return _gathered(jagged.values(), offsets[:-1].cpu().to(torch.int64), counts, enforce_sorted)


def to_nested(packed: PackedSequence) -> Tensor:
    """Return the sequences in their original order as a nested tensor (B, j, ...) in the jagged layout.

    Args:
        packed: Data (N, ...).
    """
    layout = PackedLayout.of(packed)
    order = packed.unsorted_indices
    lengths = layout.lengths if order is None else layout.lengths[order]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    values = packed.data.index_select(0, layout.by_sequence(order))
    return torch.nested.nested_tensor_from_jagged(values, offsets)


def _gathered(values: Tensor, offsets: Tensor, counts: Tensor, enforce_sorted: bool) -> PackedSequence:
    """Pack the B sequences that start at ``offsets`` (B,) in ``values`` and have ``counts`` (B,) tokens."""
    device, sorted_indices = values.device, None
    if enforce_sorted:
        if (rising := (counts[1:] > counts[:-1]).nonzero()).numel():
            row = int(rising[0]) + 1
            raise ValueError(
                f"row {row} has length {int(counts[row])} but row {row - 1} only {int(counts[row - 1])}; "
                "enforce_sorted promises the longest first: sort the rows, or leave it out"
            )
    else:
        counts, order = torch.sort(counts, descending=True)  # not stable: the same call as torch's, for equal bits
        offsets, sorted_indices = offsets[order], to_device(order, device)
    layout = PackedLayout.from_lengths(counts)
    data = values.index_select(0, layout.on(device).gather_index(to_device(offsets, device)))
    return PackedSequence(data, layout.batch_sizes, sorted_indices)


def _checked(lengths: Tensor | Sequence[int]) -> Tensor:
    """Return lengths as (B,) int64, each at least 1."""
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
