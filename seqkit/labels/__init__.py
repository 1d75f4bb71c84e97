"""Tag schemes (BIO …), label sequences and their edit distances, as pure functions."""

from seqkit.labels.edit_distance import Aligned, align, edit_distances, nearest
from seqkit.labels.sequences import END, UNKNOWN, Transcripts, close, split, unique_references
from seqkit.labels.tag_schemes import (
    Allowed,
    Scheme,
    allowed_transitions,
    detect_scheme,
    forbidden,
    parse_tags,
    read_spans,
)

__all__ = [
    "END",
    "UNKNOWN",
    "Aligned",
    "Allowed",
    "Scheme",
    "Transcripts",
    "align",
    "allowed_transitions",
    "close",
    "detect_scheme",
    "edit_distances",
    "forbidden",
    "nearest",
    "parse_tags",
    "read_spans",
    "split",
    "unique_references",
]
