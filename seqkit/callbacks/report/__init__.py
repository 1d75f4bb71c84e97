"""The report of a test: tables, figures and the worst rows."""

from seqkit.callbacks.report.report import Report

__all__ = ["Report"]
