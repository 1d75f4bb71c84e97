"""From a model's outputs to labels and tokens: CTC decoding and sampling."""

from seqkit.decoding.ctc import Beams, beam_search, best_path
from seqkit.decoding.sampling import sample

__all__ = ["Beams", "beam_search", "best_path", "sample"]
