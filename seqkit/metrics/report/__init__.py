"""Metrics for the report of a test: each gives a table, plain values for a JSON file and a figure if it has one."""

from seqkit.metrics.report.base import ReportMetric, ReportTable, readable
from seqkit.metrics.report.classes import ClassReport, LabelReport, SpanReport
from seqkit.metrics.report.edits import EditReport
from seqkit.metrics.report.tokens import PositionReport, TokenReport
from seqkit.metrics.report.values import ValueReport

__all__ = [
    "ClassReport",
    "EditReport",
    "LabelReport",
    "PositionReport",
    "ReportMetric",
    "ReportTable",
    "SpanReport",
    "TokenReport",
    "ValueReport",
    "readable",
]
