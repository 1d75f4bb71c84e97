"""From a model's outputs to labels and tokens: CTC decoding and sampling."""

from seqkit.decoding.ctc import Beams, beam_search, beam_search_steps, best_path, best_path_steps, collect
from seqkit.decoding.sampling import sample

__all__ = ["Beams", "beam_search", "beam_search_steps", "best_path", "best_path_steps", "collect", "sample"]
