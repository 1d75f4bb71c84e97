"""Modules on packed data: the counterparts of torch.nn that need no padding."""

from seqkit.nn.char_encoders import CharacterCNN, CharacterLSTM
from seqkit.nn.crf import CRF
from seqkit.nn.dropout import Dropout, EmbeddingDropout, LockedDropout
from seqkit.nn.embedding import Embedding, Projection
from seqkit.nn.pooling import AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.nn.resample import Downsample, Stack, Upsample
from seqkit.nn.rnn import GRU, LSTM, RNN, RecurrentOptions, map_state, restore_recurrent, swap_recurrent
from seqkit.nn.softmax import AdaptiveSoftmax, OutputSoftmax, Softmax

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveSoftmax",
    "AttentionPool",
    "CharacterCNN",
    "CharacterLSTM",
    "Downsample",
    "Dropout",
    "Embedding",
    "EmbeddingDropout",
    "LastPool",
    "LockedDropout",
    "MaxPool",
    "MeanPool",
    "OutputSoftmax",
    "Projection",
    "RecurrentOptions",
    "Softmax",
    "Stack",
    "Upsample",
    "map_state",
    "restore_recurrent",
    "swap_recurrent",
]
