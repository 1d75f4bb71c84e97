"""What a data loader yields: one batch of packed sequences."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


class Batch(NamedTuple):
    """B sequences of N tokens in all, sorted by length once and packed.

    Sequences stand longest first (a stable sort), so the packed columns carry no permutation of their own
    (``sorted_indices is None``); ``rows`` is the only one. All columns along the sequence share one
    ``batch_sizes``: element *i* of one column's ``.data`` belongs to the same token as element *i* of another's.

    Attributes:
        rows: (B,) int64, the dataset row of each sequence, longest first.
        inputs: By column, packed values with data (N, ...).
        targets: By column; per token: packed, data (N, ...); per sequence: a tensor (B, ...) in the order of
            ``rows``. Empty when predicting.
    """

    rows: Tensor
    inputs: dict[str, PackedSequence]
    targets: dict[str, PackedSequence | Tensor]
