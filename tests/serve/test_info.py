import json
from functools import partial

from datasets import Dataset

import seqkit
from seqkit import LanguageModel, Regressor, SequenceDataModule, Tagger
from seqkit.data import Characters, WordCharacters
from seqkit.nn import LSTM, CharacterLSTM, Embedding
from seqkit.serve.info import describe
from seqkit.serve.requests import Limits

LIMITS = Limits(1, 2, 3)
LAYERS = {"encoder": partial(LSTM, hidden_size=2)}
EMBEDDING = {"embedding": partial(Embedding, embedding_dim=2)}


def test_a_tagger_of_words_and_their_characters(splits):
    inputs = {"words": None, "letters": WordCharacters(column="words")}
    data = SequenceDataModule(splits, inputs=inputs, targets="tags", max_tokens=64)
    letters = {"letters": partial(CharacterLSTM, embedding_dim=2, hidden_size=2)}
    found = describe(Tagger(data.spec, **LAYERS, **EMBEDDING, embeddings=letters), LIMITS)
    assert found == {
        "task": "seqkit.Tagger",
        "version": seqkit.__version__,
        "inputs": {"words": {"kind": "words"}},
        "targets": {"tags": {"kind": "class", "per": "token", "labels": ["even", "odd"]}},
        "limits": {"rows": 1, "tokens": 2, "bytes": 3},
    }
    assert json.loads(json.dumps(found)) == found


def test_numbers_and_no_target(splits):
    data = SequenceDataModule(splits, inputs="series", targets="value", max_tokens=64)
    found = describe(Regressor(data.spec, **LAYERS), LIMITS)
    assert found["inputs"] == {"series": {"kind": "numbers", "size": 2}}
    assert found["targets"] == {"value": {"kind": "value", "per": "sequence"}}
    text = SequenceDataModule(
        Dataset.from_dict({"text": ["some text"] * 20}), inputs={"text": Characters()}, max_tokens=64
    )
    found = describe(LanguageModel(text.spec, **LAYERS, **EMBEDDING), LIMITS)
    assert (found["inputs"], found["targets"]) == ({"text": {"kind": "text"}}, {})
