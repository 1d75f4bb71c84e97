"""Modules on packed data: what torch.nn has for padded tensors, without the padding."""

from seqkit.nn.recurrent import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
