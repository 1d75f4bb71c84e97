"""Weighted sampling: rows drawn in proportion to weights, as many in an epoch as there are rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqkit.data.batching.plan import Histogram
from seqkit.data.rows.checks import RowError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """The draws of an epoch: systematic sampling of the rows sorted by length.

    Each row has an interval as wide as its expected number of draws. The intervals lie next to each other, longest
    row first. Draw *k* is the row whose interval contains ``k + offset``, with one random offset in [0, 1) an
    epoch. A row of width w is drawn ⌊w⌋ or ⌈w⌉ times, and w times on average over the epochs (Madow, "On the theory
    of systematic sampling, II", 1949). With equal weights each row is drawn once. A draw is never longer than at
    offset 0, so a plan for that offset is valid in every epoch.

    Attributes:
        edges: (R + 1,) at which each row's interval begins; the last is the number of draws, R.
        lengths: The lengths of the draws at offset 0.
        tokens: Mean number of tokens of all draws of an epoch.
    """

    edges: Floats
    lengths: Histogram
    tokens: float

    @classmethod
    def from_weights(cls, weights: npt.ArrayLike, sorted_rows: npt.NDArray[Any], histogram: Histogram) -> "Draws":
        """Make the draws from weights (rows,) and the rows that are kept, longest first, with their lengths.

        Raises:
            RowError: A weight is negative or not finite.
            ValueError: All weights are 0.
        """
        given = np.asarray(weights, np.float64)
        wrong = np.flatnonzero(~((given >= 0) & np.isfinite(given)))
        if wrong.size:
            message = f"weight {given[wrong[0]]}; a weight is a finite number, 0 or more"
            raise RowError(int(wrong[0]), message)
        given = given[sorted_rows]
        if not given.any():
            raise ValueError(f"the weights of all {sorted_rows.size} rows are 0: none can be drawn")
        # Relative to the largest, equal weights are 1, and their sums exact however many rows there are.
        edges = np.concatenate([np.zeros(1), np.cumsum(given / given.max())])
        edges *= sorted_rows.size / edges[-1]
        whole = np.rint(edges)  # the sum of all, and others that are whole but for rounding
        edges = np.where(np.abs(edges - whole) < 1e-9 + 1e-12 * sorted_rows.size, whole, edges)
        between = edges[histogram.starts]
        counts = np.diff(np.ceil(between).astype(np.int64))
        kept = counts > 0
        lengths = Histogram.from_counts(histogram.values[kept], counts[kept])
        return cls(edges, lengths, float(np.diff(between) @ histogram.values))

    def positions(self, draws: Ints, seed: int, epoch: int) -> Ints:
        """Return the sorted position of the row of each draw of an epoch."""
        offset = np.random.default_rng((seed, epoch)).random()
        at = np.minimum(draws + offset, np.nextafter(self.edges[-1], 0))
        positions: Ints = np.searchsorted(self.edges, at, "right") - 1
        return positions
