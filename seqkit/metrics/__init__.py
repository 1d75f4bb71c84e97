"""Metrics as `torchmetrics.Metric`: collections for each kind of target, and metrics that torchmetrics lacks."""

from seqkit.metrics.base import ClassCounts, MetricGroup
from seqkit.metrics.classification import classification_metrics, multilabel_metrics, precision_recall_f1
from seqkit.metrics.error_rates import ErrorRates
from seqkit.metrics.loss import Bits, MeanLoss, Perplexity, language_metrics
from seqkit.metrics.regression import MeanAbsoluteError, PHMScore, RootMeanSquaredError, regression_metrics
from seqkit.metrics.report import (
    ClassReport,
    EditReport,
    LabelReport,
    PositionReport,
    ReportMetric,
    ReportTable,
    SpanReport,
    TokenReport,
    ValueReport,
    readable,
)
from seqkit.metrics.span_f1 import SpanF1

__all__ = [
    "Bits",
    "ClassCounts",
    "ClassReport",
    "EditReport",
    "ErrorRates",
    "LabelReport",
    "MeanAbsoluteError",
    "MeanLoss",
    "MetricGroup",
    "PHMScore",
    "Perplexity",
    "PositionReport",
    "ReportMetric",
    "ReportTable",
    "RootMeanSquaredError",
    "SpanF1",
    "SpanReport",
    "TokenReport",
    "ValueReport",
    "classification_metrics",
    "language_metrics",
    "multilabel_metrics",
    "precision_recall_f1",
    "readable",
    "regression_metrics",
]
