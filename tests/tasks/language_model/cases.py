"""Rows, models and their counterparts in torch, for the tests of the language model."""

import random
from functools import partial

import torch
from torch import nn

from seqkit import LanguageModel, SequenceDataModule
from seqkit.data import Continuous
from seqkit.nn import GRU, LSTM, AdaptiveSoftmax, Embedding

END = len("abcdefg ") + 1  # the id after those of the characters and the unknown one
EMBEDDING = partial(Embedding, embedding_dim=6)
ENCODER = partial(LSTM, hidden_size=8)
ADAM = partial(torch.optim.Adam, lr=0.02)
KINDS = {
    "one direction": {},
    "tied": {"tied": True, "encoder": partial(GRU, hidden_size=6)},
    "two layers": {"encoder": partial(LSTM, hidden_size=8, num_layers=2)},
    "two directions": {"bidirectional": True},
    "adaptive": {"softmax": partial(AdaptiveSoftmax, cutoffs=[3, 6], div_value=2.0)},
}
CONTINUOUS = Continuous(batch_size=3, bptt=7, evaluation_batch_size=2)


def texts(count, seed=0, lengths=(1, 12)):
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefg ") for _ in range(draw.randint(*lengths))) for _ in range(count)]


def build(rows, *, continuous=None, max_tokens=40, **options):
    budget = {} if continuous else {"max_tokens": max_tokens}
    data = SequenceDataModule(rows, inputs="text", continuous=continuous, **budget)
    torch.manual_seed(0)
    arguments = {"encoder": ENCODER, "embedding": EMBEDDING, "optimizer": ADAM} | options
    return LanguageModel(data.spec, **arguments), data


def stock(encoder):
    kind = nn.GRU if isinstance(encoder, GRU) else nn.LSTM
    made = kind(encoder.input_size, encoder.hidden_size, encoder.num_layers).double()
    made.load_state_dict(encoder.state_dict())
    return made


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def ids_of(data, text):
    return data.rows("train").dataset[text]["text"]
