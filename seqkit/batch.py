"""What a data loader yields: one batch of packed sequences."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


class Batch(NamedTuple):
    """B sequences with N tokens in total, sorted by length once and packed.

    The sort is stable and descending, so the packed columns need no permutation of their own
    (``sorted_indices is None``); ``rows`` is the only one. All columns along the sequence share one
    ``batch_sizes``: element *i* of one column's ``.data`` and element *i* of another's belong to the same token.

    Attributes:
        rows: (B,) int64, the dataset row of each sequence, longest first.
        inputs: By column, packed values with data (N, ...).
        targets: By column. Per token: packed, data (N, ...). Per sequence: a tensor (B, ...) in the order of
            ``rows``. Empty when predicting.
    """

    rows: Tensor
    inputs: dict[str, PackedSequence]
    targets: dict[str, PackedSequence | Tensor]
