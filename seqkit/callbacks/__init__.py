"""Lightning callbacks."""

from seqkit.callbacks.averaging import NonMonotonicAveraging
from seqkit.callbacks.checkpoint import BestCheckpoint
from seqkit.callbacks.predictions import PredictionWriter
from seqkit.callbacks.progress.progress import Progress
from seqkit.callbacks.report.report import Report
from seqkit.callbacks.stopping import EarlyStop
from seqkit.callbacks.summary import Parts, Summary
from seqkit.callbacks.throughput import Throughput
from seqkit.callbacks.word_vectors import WordVectors

__all__ = [
    "BestCheckpoint",
    "EarlyStop",
    "NonMonotonicAveraging",
    "Parts",
    "PredictionWriter",
    "Progress",
    "Report",
    "Summary",
    "Throughput",
    "WordVectors",
]
