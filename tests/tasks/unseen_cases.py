"""Splits with labels that training lacks, and models of them."""

import random
from functools import partial

import datasets
import pytest
import torch

from seqkit import SequenceDataModule
from seqkit.nn import LSTM, Embedding

PARTS = {"embedding": partial(Embedding, embedding_dim=8), "encoder": partial(LSTM, hidden_size=8)}
TAGS = ["O", "B-person", "I-person", "B-place"]
UNSEEN_TAGS = ["I-place", "B-new", "I-new", "strange"]
WARNING = "the training split has no label"
IGNORED = "ignore:.*the training split has no label"


def draw_rows(seed, tags, classes, flags, count=24):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 9) for _ in range(count)]
    return {
        "words": [[f"w{draw.randint(0, 9)}" for _ in range(n)] for n in lengths],
        "tags": [[draw.choice([*tags, None]) for _ in range(n)] for n in lengths],
        "label": [draw.choice([*classes, None]) for _ in lengths],
        "flags": [[draw.sample(flags, draw.randint(0, len(flags))) for _ in range(n)] for n in lengths],
        "topics": [draw.sample(flags, draw.randint(0, len(flags))) for _ in lengths],
    }


SEEN = draw_rows(0, TAGS, ["a", "b", "c"], ["x", "y"])
SPLITS = {
    "train": datasets.Dataset.from_dict(SEEN),
    "validation": datasets.Dataset.from_dict(draw_rows(1, TAGS + UNSEEN_TAGS[:1], ["a", "z"], ["x", "y", "q"])),
    "test": datasets.Dataset.from_dict(
        draw_rows(2, TAGS + UNSEEN_TAGS, ["a", "b", "y", "z"], ["x", "y", "u", "v"])
    ),
}


def build(task, target, splits=SPLITS, encoder=None, **options):
    targets = target if encoder is None else {target: encoder}
    data = SequenceDataModule(splits, inputs="words", targets=targets, max_tokens=40)
    torch.manual_seed(0)
    model = task(data.spec, **PARTS, **options)
    with torch.no_grad():
        for head in model.heads.values():
            head.head.weight *= 30  # so that all labels are predicted
    return model, data


def evaluate(run, model, data):
    with pytest.warns(UserWarning, match=WARNING):
        (scores,) = run.test(model, data, verbose=False)
    return {name.removeprefix("test_"): value for name, value in scores.items()}
