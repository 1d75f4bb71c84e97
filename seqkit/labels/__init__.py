"""Labels as data: tag schemes (BIO …), label sequences and their edit distances. Pure functions."""

from seqkit.labels.sequences import (
    END,
    UNKNOWN,
    Transcripts,
    align,
    close,
    distinct,
    edit_distances,
    nearest,
    split,
)
from seqkit.labels.tag_schemes import Allowed, Scheme, allowed_transitions, detect_scheme, parse_tags

__all__ = [
    "END",
    "UNKNOWN",
    "Allowed",
    "Scheme",
    "Transcripts",
    "align",
    "allowed_transitions",
    "close",
    "detect_scheme",
    "distinct",
    "edit_distances",
    "nearest",
    "parse_tags",
    "split",
]
