"""Words with their phones, and a model that recognises them."""

from functools import partial

import numpy as np
import torch

from seqkit import CTCRecognizer, SequenceDataModule
from seqkit.data import LabelSequences
from seqkit.nn import LSTM, Embedding, Stack, Upsample

EMBEDDING = partial(Embedding, embedding_dim=8)
ENCODER = partial(
    Stack, layers=[partial(LSTM, hidden_size=8, bidirectional=True), partial(Upsample, output_size=8)]
)


def spelled(count, seed, lengths=(1, 8)):
    """Words and their phones: a vowel is one phone, `x` is two; some words have two pronunciations."""
    random = np.random.default_rng(seed)
    words, sounds = [], []
    for n in random.integers(*lengths, count):
        word = "".join(random.choice(list("aeioubxk"), n))
        said = [sound for letter in word for sound in {"x": ["K", "S"], "k": ["K"]}.get(letter, [letter.upper()])]
        words.append(word)
        sounds.append([said, said[:-1]] if n > 5 else [said])
    return {"word": words, "phones": sounds}


def build(splits, **options):
    data = SequenceDataModule(splits, inputs="word", targets={"phones": LabelSequences()}, max_tokens=32)
    torch.manual_seed(0)
    return CTCRecognizer(data.spec, **({"embedding": EMBEDDING, "encoder": ENCODER} | options)), data
