"""The graphs of the modules of `seqkit.nn`, one file as there; importing it registers them."""

from seqkit.export.nn import char_encoders, crf, embedding, pooling, resample, rnn, softmax

__all__ = ["char_encoders", "crf", "embedding", "pooling", "resample", "rnn", "softmax"]
