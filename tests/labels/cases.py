"""Label sequences for the tests of this folder."""

import torch
from hypothesis import strategies as st

from seqkit.labels import Transcripts

label_sequences = st.lists(st.integers(0, 3), max_size=7)


def join(sequences):
    flat = torch.tensor([label for sequence in sequences for label in sequence], dtype=torch.long)
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
    return Transcripts(flat, lengths, torch.arange(len(sequences)))


def lists(transcripts):
    return [part.tolist() for part in transcripts.labels.split(transcripts.lengths.tolist())]
