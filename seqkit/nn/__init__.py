"""Modules on packed data: what torch.nn has for padded tensors, without the padding."""

from seqkit.nn.characters import CharacterCNN, CharacterLSTM
from seqkit.nn.crf import CRF
from seqkit.nn.dropout import Dropout, EmbeddingDropout, LockedDropout
from seqkit.nn.embedding import Embedding, Projection
from seqkit.nn.pooling import AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.nn.recurrent import GRU, LSTM, RNN
from seqkit.nn.resample import Downsample, Stack, Upsample
from seqkit.nn.softmax import AdaptiveSoftmax, OutputSoftmax, Softmax
from seqkit.nn.swap import restore_recurrent, swap_recurrent

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
