"""`LSTM`, `GRU` and `RNN` on packed data, and the swap that turns torch's into them."""

from seqkit.nn.rnn.layers import GRU, LSTM, RNN
from seqkit.nn.rnn.swap import restore_recurrent, swap_recurrent

__all__ = ["GRU", "LSTM", "RNN", "restore_recurrent", "swap_recurrent"]
