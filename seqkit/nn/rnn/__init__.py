"""`LSTM`, `GRU` and `RNN` on packed data, and the swap between torch's modules and these."""

from seqkit.nn.rnn.base import map_state
from seqkit.nn.rnn.layers import GRU, LSTM, RNN
from seqkit.nn.rnn.options import RecurrentOptions
from seqkit.nn.rnn.swap import restore_recurrent, swap_recurrent

__all__ = ["GRU", "LSTM", "RNN", "RecurrentOptions", "map_state", "restore_recurrent", "swap_recurrent"]
