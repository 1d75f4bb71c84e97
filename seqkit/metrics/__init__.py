"""Metrics, all of them torchmetrics: by kind of target as collections, and those that torchmetrics lacks."""

from seqkit.metrics.classification import classification_metrics, multilabel_metrics, precision_recall_f1
from seqkit.metrics.error_rates import ErrorRates
from seqkit.metrics.loss import Bits, MeanLoss, Perplexity, language_metrics
from seqkit.metrics.regression import PHMScore, regression_metrics
from seqkit.metrics.span_f1 import SpanF1

__all__ = [
    "Bits",
    "ErrorRates",
    "MeanLoss",
    "PHMScore",
    "Perplexity",
    "SpanF1",
    "classification_metrics",
    "language_metrics",
    "multilabel_metrics",
    "precision_recall_f1",
    "regression_metrics",
]
