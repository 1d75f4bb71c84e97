"""Predictions of raw rows: what may be given as rows, batches by length, and a progress bar."""

from seqkit.tasks.prediction.mode import evaluation
from seqkit.tasks.prediction.module import MAX_TOKENS, PredictingModule
from seqkit.tasks.prediction.predict import EmptyRowError, cast_floats, predict_table
from seqkit.tasks.prediction.rows import RowReader

__all__ = [
    "MAX_TOKENS",
    "EmptyRowError",
    "PredictingModule",
    "RowReader",
    "cast_floats",
    "evaluation",
    "predict_table",
]
