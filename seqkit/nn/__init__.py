"""Modules on packed data: what torch.nn has for padded tensors, without the padding."""

from seqkit.nn.char_encoders import CharacterCNN, CharacterLSTM
from seqkit.nn.crf import CRF
from seqkit.nn.dropout import Dropout, EmbeddingDropout, LockedDropout
from seqkit.nn.embedding import Embedding, Projection
from seqkit.nn.pooling import AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.nn.resample import Downsample, Stack, Upsample
from seqkit.nn.rnn.layers import GRU, LSTM, RNN
from seqkit.nn.rnn.swap import restore_recurrent, swap_recurrent
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
    "Softmax",
    "Stack",
    "Upsample",
    "restore_recurrent",
    "swap_recurrent",
]
