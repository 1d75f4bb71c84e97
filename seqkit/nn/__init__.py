"""Modules on packed data: what torch.nn has for padded tensors, without the padding."""

from seqkit.nn.characters import CharacterCNN, CharacterLSTM
from seqkit.nn.crf import CRF
from seqkit.nn.dropout import Dropout, LockedDropout
from seqkit.nn.embedding import Embedding, Projection
from seqkit.nn.pooling import AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.nn.recurrent import GRU, LSTM, RNN
from seqkit.nn.resample import Downsample, Stack, Upsample
from seqkit.nn.swap import restore_recurrent, swap_recurrent

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "AttentionPool",
    "CharacterCNN",
    "CharacterLSTM",
    "Downsample",
    "Dropout",
    "Embedding",
    "LastPool",
    "LockedDropout",
    "MaxPool",
    "MeanPool",
    "Projection",
    "Stack",
    "Upsample",
    "restore_recurrent",
    "swap_recurrent",
]
