"""Losses on packed data: sums over units, so that every token, or every sequence, has the same weight."""

from seqkit.losses.base import (
    Loss,
    Values,
    build_loss,
    check_total,
    full_precision,
    mean_over_units,
    unit_values,
    with_unit_values,
)
from seqkit.losses.ctc import CTC, steps_needed
from seqkit.losses.pointwise import L1, MSE, BinaryCrossEntropy, CrossEntropy, Huber, Quantile

__all__ = [
    "CTC",
    "L1",
    "MSE",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "Quantile",
    "Values",
    "build_loss",
    "check_total",
    "full_precision",
    "mean_over_units",
    "steps_needed",
    "unit_values",
    "with_unit_values",
]
