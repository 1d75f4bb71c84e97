"""Rows drawn in proportion to weights, as many an epoch as there are rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.plan import Histogram

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """The draws of an epoch, each a row: systematic sampling of the rows sorted by length.

    The rows lie one after the other on a line, longest first, each as wide as its expected number of draws; draw
    *k* is the row at ``k + offset``, with one offset in [0, 1) an epoch. A row of width w is therefore drawn
    ⌊w⌋ or ⌈w⌉ times, w times on average over the epochs (Madow, "On the theory of systematic sampling, II",
    1949); with equal weights each is drawn once. The length of a draw is never more than at offset 0, so that a
    plan made for that offset holds in every epoch.

    Attributes:
        edges: (R + 1,) where each row's stretch of the line begins; the last is the number of draws, R.
        lengths: The lengths of the draws at offset 0.
        tokens: Mean number of tokens of all draws of an epoch.
    """

    edges: Floats
    lengths: Histogram
    tokens: float

    @classmethod
    def of(cls, weights: npt.ArrayLike, order: npt.NDArray[Any], histogram: Histogram) -> "Draws":
        """From weights (rows,) and the rows that are kept, longest first, with their lengths.

        Raises:
            ValueError: A weight is negative or not finite (the message names the row), or all that count are 0.
        """
        given = np.asarray(weights, np.float64)
        wrong = np.flatnonzero(~((given >= 0) & np.isfinite(given)))
        if wrong.size:
            raise ValueError(f"row {wrong[0]}: weight {given[wrong[0]]}; a weight is a finite number, 0 or more")
        edges = np.concatenate([np.zeros(1), np.cumsum(given[order])])
        if not edges[-1] > 0:
            raise ValueError(f"the weights of all {order.size} rows are 0: none can be drawn")
        edges *= order.size / edges[-1]
        whole = np.rint(edges)  # of equal weights, but for the rounding of their sum
        edges = np.where(np.abs(edges - whole) < 1e-9 + 1e-12 * order.size, whole, edges)
        between = edges[histogram.starts]
        counts = np.diff(np.ceil(between).astype(np.int64))
        kept = counts > 0
        lengths = Histogram.of(histogram.values[kept], counts[kept])
        return cls(edges, lengths, float(np.diff(between) @ histogram.values))

    def rows(self, draws: Ints, seed: int, epoch: int) -> Ints:
        """Place, in the order of length, of the row that each draw of an epoch is."""
        offset = np.random.default_rng((seed, epoch)).random()
        at = np.minimum(draws + offset, np.nextafter(self.edges[-1], 0))
        place: Ints = np.searchsorted(self.edges, at, "right") - 1
        return place
