"""Rows of every kind of column, and a small model for each shipped config and for what no config has."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import Dataset

from seqkit import Classifier, CTCRecognizer, Forecaster, LanguageModel, MultiTask, Regressor, Tagger
from seqkit.class_paths import class_at
from seqkit.data import (
    Features,
    Ids,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    TokenizerFile,
    WordCharacters,
    Words,
    WordShapes,
    learn_spec,
)
from seqkit.losses import Quantile
from seqkit.nn import CRF, GRU, LSTM, AttentionPool, CharacterCNN, Embedding, MeanPool
from seqkit.tasks.checkpoints.parts import build_arguments
from tests.export.test_configs import small

ROOT = Path(__file__).parents[3]
LENGTHS = [2, 1, 5, 250, 5, 3, 1]  # ties, and a giant
VOCABULARY = ["the", "cat", "sat", "on", "The", "mat", ",", "Ann", "New", "York", "U.S.", "1990", "!", "naïve"]


# Rows of every kind of column.


def words(length, draw):
    return draw.choice(VOCABULARY, length).tolist()


def text(length, draw):
    return " ".join(words(length, draw))


def letters(length, draw):
    return "".join(draw.choice(list("abc def\né"), length))


def series(channels):
    return lambda length, draw: (100 + 7 * draw.normal(size=(length, channels))).tolist()


def tags(*names):
    return lambda length, draw: draw.choice(names, length).tolist()


def one_of(*names):
    return lambda length, draw: str(draw.choice(names))


def several(*names):
    return lambda length, draw: sorted(set(draw.choice(names, 2).tolist()))


def sets(*names):
    return lambda length, draw: [several(*names)(1, draw) for _ in range(length)]


def rows_of(columns, seed=0):
    """Return a row of each length, by column."""
    draw = np.random.default_rng(seed)
    return {name: [make(length, draw) for length in LENGTHS] for name, make in columns.items()}


ENTITIES = tags("O", "B-person", "I-person", "B-place", "I-place")
CONFIGS = {  # by config, the columns of its rows
    "cmapss_forecast": {"channels": series(24)},
    "cmapss_rul": {
        "channels": series(24),
        "rul": lambda length, draw: (80 + 9 * draw.normal(size=length)).tolist(),
    },
    "cmudict_g2p": {"word": letters, "phones": tags("AH0", "B", "S")},
    "conll2003_ner": {"tokens": words, "ner_tags": ENTITIES},
    "ewt_multitask": {"form": words, "upos": tags("DET", "NOUN"), "xpos": tags("DT", "NN", "NNS")},
    "ewt_upos": {"form": words, "upos": tags("DET", "NOUN", "VERB")},
    "go_emotions": {"text": text, "labels": several("joy", "grief", "surprise")},
    "highlight": {"text": letters, "kinds": tags("name", "string", "operator")},
    "imdb": {"text": text, "label": one_of("neg", "pos")},
    "japanese_vowels": {"series": series(12), "label": one_of(*"123456789")},
    "shakespeare_char": {"text": letters},
    "snli": {"premise": text, "hypothesis": text, "label": one_of("neutral", "entailment")},
    "wnut17_ner": {"tokens": words, "tags": ENTITIES},
}


def encoders(given):
    """Return the encoders that a config names, by column."""
    if not isinstance(given, dict):
        return dict.fromkeys([given] if isinstance(given, str) else given or [])
    return {name: class_at(part["class_path"])(**part.get("init_args", {})) for name, part in given.items()}


def config_model(name, rows):
    """Return the model of a config, small and with random weights."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    given, unaligned = config["data"], config["data"].get("unaligned", [])
    unaligned = [unaligned] if isinstance(unaligned, str) else unaligned
    spec = learn_spec(Dataset.from_dict(rows), encoders(given["inputs"]), encoders(given.get("targets")), unaligned)
    cls = class_at(config["model"]["class_path"])
    return cls(spec, **build_arguments(cls, small(config["model"]["init_args"]), trust=(), place="model"))


# Models with what no config has.

TOKENIZER = json.dumps(
    {
        "version": "1.0",
        **dict.fromkeys(["truncation", "padding", "normalizer", "decoder"]),
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[S]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"[S]": {"id": "[S]", "ids": [1], "tokens": ["[S]"]}},
        },
        "model": {"type": "WordLevel", "vocab": {"[U]": 0, "[S]": 1, "the": 2, "cat": 3}, "unk_token": "[U]"},
    }
)
SMALL = {
    "embedding": partial(Embedding, embedding_dim=5),
    "encoder": partial(LSTM, hidden_size=4, bidirectional=True),
}
ONE_WAY = {"embedding": SMALL["embedding"], "encoder": partial(GRU, hidden_size=4)}
OTHERS = {  # by name: the columns, the inputs, the targets, the class, its options
    "all encoders of words": (
        {"words": words, "label": one_of("a", "b", "c")},
        {
            "words": ShapedWords(suffix=2),
            "letters": WordCharacters(column="words", min_frequency=1),
            "shapes": WordShapes(column="words"),
            "lower": Words(lowercase=True, column="words"),
        },
        {"label": None},
        partial(Classifier, embeddings={"letters": partial(CharacterCNN, embedding_dim=4, filters=3)}, **SMALL),
    ),
    "a tokenizer's file": (
        {"text": text, "value": lambda length, draw: float(length)},
        {"text": TokenizerFile(tokenizer=TOKENIZER)},
        {"value": None},
        partial(Regressor, pooling=MeanPool, **SMALL),
    ),
    "ids, series and sets": (
        {
            "ids": lambda length, draw: draw.integers(0, 9, length).tolist(),
            "series": lambda length, draw: series(1)(length, draw),
            "raw": series(2),
            "notes": sets("c", "e", "g"),
            "chord": sets("major", "minor"),
        },
        {"ids": Ids(), "series": None, "raw": Features(standardize=False), "notes": MultiLabels()},
        {"chord": None},
        partial(Tagger, **SMALL),
    ),
    "quantiles": (
        {"series": series(2), "value": lambda length, draw: draw.normal(size=length).tolist()},
        {"series": None},
        {"value": None},
        partial(Regressor, encoder=SMALL["encoder"], loss=partial(Quantile, quantiles=[0.1, 0.5, 0.9])),
    ),
    "one channel": ({"series": series(1)}, {"series": None}, {}, partial(Forecaster, encoder=ONE_WAY["encoder"])),
    "several targets": (
        {"words": words, "tags": ENTITIES, "label": one_of("a", "b"), "sets": several("x", "y", "z")},
        {"words": None},
        dict.fromkeys(["tags", "label", "sets"]),
        partial(
            MultiTask,
            heads={
                "tags": partial(Tagger, decoder=CRF),
                "label": partial(Classifier, pooling=AttentionPool, attention=True),
            },
            **SMALL,
        ),
    ),
    "words in two directions": (
        {"words": words},
        {"words": None},
        {},
        partial(LanguageModel, bidirectional=True, **ONE_WAY),
    ),
    "labels of texts": (
        {"text": text, "letters": letters},
        {"text": Words()},
        {"letters": LabelSequences()},
        partial(CTCRecognizer, **SMALL),
    ),
}


def other_model(name, rows):
    _, inputs, targets, build = OTHERS[name]
    return build(learn_spec(Dataset.from_dict(rows), inputs, targets))


def assert_same(found, expected):
    """Labels and structure are equal, numbers nearly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, float):
        assert type(found) is float
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    else:
        assert type(found) is type(expected)
        assert found == expected
