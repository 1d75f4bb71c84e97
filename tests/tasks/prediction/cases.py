"""Small models of every task, and raw rows for them."""

from functools import partial

import datasets
import numpy as np
import pytest
import torch

from seqkit import Classifier, CTCRecognizer, LanguageModel, MultiTask, Regressor, SequenceDataModule, Tagger
from seqkit.data import (
    Characters,
    Features,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    Values,
    WordCharacters,
    Words,
)
from seqkit.losses import Quantile
from seqkit.nn import (
    CRF,
    GRU,
    LSTM,
    AdaptiveSoftmax,
    AttentionPool,
    CharacterCNN,
    CharacterLSTM,
    MeanPool,
)
from tests.conftest import _rows
from tests.tasks.test_every_task import EMBEDDING, ENCODER, KINDS, LONGER, WORDS

BOTH = partial(LSTM, hidden_size=6, num_layers=2, bidirectional=True)
PARTS = {"encoder": BOTH, "embedding": EMBEDDING}
SPELLED = {
    "words": Words(),
    "letters": WordCharacters(min_frequency=1, column="words"),
    "shapes": ShapedWords(column="words"),
}
LETTERS = {"embedding_dim": 4}
CASES = KINDS | {
    "sets of labels per token": (partial(Tagger, **PARTS), WORDS | {"targets": "flags"}),
    "spans": (partial(Tagger, **PARTS), WORDS | {"targets": "spans"}),
    "spans of a CRF": (partial(Tagger, **PARTS, decoder=CRF), WORDS | {"targets": "spans"}),
    "characters of words, LSTM": (
        partial(
            Tagger, **PARTS, embeddings={"letters": partial(CharacterLSTM, hidden_size=3, **LETTERS)}, decoder=CRF
        ),
        {"inputs": SPELLED, "targets": "tags"},
    ),
    "characters of words, CNN": (
        partial(Tagger, **PARTS, embeddings={"letters": partial(CharacterCNN, filters=3, **LETTERS)}),
        {"inputs": SPELLED, "targets": "tags"},
    ),
    "sets of labels": (
        partial(Classifier, **PARTS, pooling=MeanPool),
        WORDS | {"targets": {"labels": MultiLabels()}},
    ),
    "attention": (
        partial(Classifier, **PARTS, pooling=AttentionPool, attention=True),
        WORDS | {"targets": "label"},
    ),
    "characters of a text": (
        partial(Classifier, **PARTS),
        {"inputs": {"text": Characters()}, "targets": "label"},
    ),
    "words of a text": (partial(Classifier, **PARTS), {"inputs": {"text": Words()}, "targets": "label"}),
    "sets of labels as input": (
        partial(Classifier, **PARTS),
        {"inputs": {"flags": MultiLabels()}, "targets": "label"},
    ),
    "series": (partial(Classifier, encoder=BOTH), {"inputs": {"series": Features()}, "targets": "label"}),
    "wave": (partial(Regressor, encoder=partial(GRU, hidden_size=6)), {"inputs": "values", "targets": "value"}),
    "quantiles": (partial(Regressor, **PARTS, loss=Quantile), WORDS | {"targets": "values"}),
    "vectors": (partial(Regressor, **PARTS), WORDS | {"targets": {"series": Values(vectors=True)}}),
    "beam search": (
        partial(CTCRecognizer, encoder=LONGER, embedding=EMBEDDING, beam_width=3),
        WORDS | {"targets": {"tags": LabelSequences()}},
    ),
    "two directions": (partial(LanguageModel, encoder=ENCODER, embedding=EMBEDDING, bidirectional=True), WORDS),
    "adaptive softmax": (
        partial(
            LanguageModel,
            encoder=ENCODER,
            embedding=EMBEDDING,
            softmax=partial(AdaptiveSoftmax, cutoffs=[6], div_value=2.0),
        ),
        WORDS,
    ),
    "several targets": (
        partial(
            MultiTask,
            **PARTS,
            heads={
                "spans": partial(Tagger, decoder=CRF),
                "label": partial(Classifier, pooling=AttentionPool, attention=True),
            },
        ),
        WORDS | {"targets": ["spans", "label", "flags", "value"]},
    ),
}


def columns(count, seed, lengths=(1, 9)):
    """Columns of raw rows, with a target of every kind."""
    made = _rows(count, seed, lengths)
    made["other"] = [words[::-1] for words in made["words"]]
    made["text"] = [" ".join(words) for words in made["words"]]
    tags = {"odd": ["B-X", "I-X", "O"], "even": ["O", "B-Y", "I-Y"]}
    made["spans"] = [[tags[tag][i % 3] for i, tag in enumerate(row)] for row in made["tags"]]
    return made


def rows_of(lengths, seed=0):
    """Raw rows with these numbers of words."""
    made = [columns(1, (seed, i), (n, n + 1)) for i, n in enumerate(lengths)]
    return [{name: values[0] for name, values in row.items()} for row in made]


def build(kind):
    """Build a task with large random weights, so that its predictions differ between rows."""
    task, arguments = CASES[kind]
    rows = datasets.DatasetDict(train=datasets.Dataset.from_dict(columns(40, 0)))
    data = SequenceDataModule(rows, **arguments, max_tokens=64, validation_fraction=0.0)
    torch.manual_seed(0)
    model = task(data.spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def assert_same(found, expected):
    """Compare nested plain values: numbers to 1e-6, all others exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    else:
        assert type(found) is type(expected)
        assert found == expected


def arrays(count=3, width=2, seed=0):
    """Arrays (T, width) of different lengths."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(n + 1, width)).astype(np.float32) for n in range(count)]
