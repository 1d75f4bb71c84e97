"""The graphs of the modules of `seqkit.nn`, one file as there; importing it registers them."""

from seqkit.export.nn import char_encoders, embedding, pooling, resample, rnn

__all__ = ["char_encoders", "embedding", "pooling", "resample", "rnn"]
