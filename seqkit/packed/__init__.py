"""Operations on PackedSequence: convert, restructure and reduce sequences of different lengths without padding.

A ``PackedSequence`` holds B sequences of N tokens in all, longest first, one time step after the other::

    >>> packed = pack([torch.tensor([1, 2, 3]), torch.tensor([3, 4])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 3, 2, 4, 3]), tensor([2, 2, 1]))

``batch_sizes[t]`` counts the sequences with more than t tokens. `PackedLayout` computes the index of each token.
All functions are differentiable, accept any trailing dimensions and a pack of no sequences, and honour
``unsorted_indices``: values per sequence are in the original order.

The host does not wait for an accelerator, except where it must read a permutation (in ``lengths`` and ``unpack`` of
a pack that has one, and in ``cat`` and ``attend`` of packs that were sorted one by one) or lengths (in
``from_nested``), and in ``to_host``.
"""

from seqkit.packed.convert import from_nested, from_padded, pack, to_nested, to_padded, unpack
from seqkit.packed.layout import PackedLayout
from seqkit.packed.reduce import attend, first, last, max, mean, softmax, sum
from seqkit.packed.structure import apply, cat, lengths, positions, reverse, sequences, shift
from seqkit.packed.transfer import pins_memory, to_device, to_host

__all__ = [
    "PackedLayout",
    "apply",
    "attend",
    "cat",
    "first",
    "from_nested",
    "from_padded",
    "last",
    "lengths",
    "max",
    "mean",
    "pack",
    "pins_memory",
    "positions",
    "reverse",
    "sequences",
    "shift",
    "softmax",
    "sum",
    "to_device",
    "to_host",
    "to_nested",
    "to_padded",
    "unpack",
]
