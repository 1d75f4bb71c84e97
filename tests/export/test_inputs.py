"""Every kind of input, through a whole task."""

from functools import partial

import datasets
import numpy as np
import pytest
from torch import nn

from seqkit import Classifier, Regressor, SequenceDataModule, Tagger
from seqkit.data import Characters, Features, Ids, MultiLabels, ShapedWords, WordCharacters, Words, WordShapes
from seqkit.nn import LSTM, CharacterCNN, CharacterLSTM, Embedding, MaxPool, Projection
from tests.export.cases import about, check, export, feeds_of, run

LENGTHS = [2, 1, 3, 3, 25, 1, 2]
LETTERS = "The cat sat on a mat in Rome 42 É!"
ENCODER = partial(LSTM, hidden_size=5, bidirectional=True)
EMBEDDING = partial(Embedding, embedding_dim=4)


class Own(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.output_size = size


class Halves(Features):
    pass


def rows(lengths=LENGTHS):
    random = np.random.default_rng(0)
    words = LETTERS.split()
    texts = [[words[i] for i in random.integers(0, len(words), n)] for n in lengths]
    series = [(random.normal(size=(n, 2)) * [1, 0.5] + [5, 1000]).tolist() for n in lengths]
    notes = [[[f"n{i}" for i in random.choice(4, random.integers(0, 3), False)] for _ in range(n)] for n in lengths]
    return {
        "words": texts,
        "text": ["".join(random.choice(list(LETTERS), n)) for n in lengths],
        "ids": [random.integers(0, 9, n).tolist() for n in lengths],
        "series": series,
        "channel": [[frame[1] for frame in row] for row in series],
        "notes": notes,
        "other": [texts[i - 3][::-1] for i in range(len(texts))],
        "tags": [["odd" if i % 2 else "even" for i in random.integers(0, 9, n)] for n in lengths],
        "label": ["ab"[n % 2] for n in lengths],
        "value": [float(n) for n in lengths],
    }


ROWS = rows()
TRAIN = datasets.Dataset.from_dict({name: values * 2 for name, values in ROWS.items()})


def build(task, inputs, targets, unaligned=(), **options):
    data = SequenceDataModule(
        TRAIN, inputs, targets, unaligned=unaligned, max_tokens=10**4, validation_fraction=0.0
    )
    return task(data.spec, **{"encoder": ENCODER, **options})


INPUTS = {
    "words": ({"words": Words(lowercase=True)}, {"embedding": EMBEDDING}),
    "shaped words": ({"words": ShapedWords()}, {"embedding": EMBEDDING}),
    "texts": ({"text": Characters()}, {"embedding": EMBEDDING}),
    "ids": ({"ids": Ids()}, {"embedding": EMBEDDING}),
    "features": ({"series": Features()}, {}),
    "features as they are": ({"series": Features(standardize=False)}, {}),
    "projected features": ({"series": Features()}, {"embeddings": {"series": partial(Projection, output_size=3)}}),
    "one channel": ({"channel": Features()}, {}),
    "sets": ({"notes": MultiLabels()}, {}),
    "embedded sets": ({"notes": MultiLabels()}, {"embedding": EMBEDDING}),
    "projected sets": ({"notes": MultiLabels()}, {"embedding": partial(Projection, output_size=3)}),
    "several": (
        {
            "words": Words(),
            "characters": WordCharacters(min_frequency=1, column="words"),
            "shapes": WordShapes(column="words"),
            "series": Features(),
            "notes": MultiLabels(),
        },
        {
            "embedding": EMBEDDING,
            "embeddings": {"characters": partial(CharacterLSTM, embedding_dim=3, hidden_size=2)},
        },
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_per_token(name, tmp_path):
    inputs, options = INPUTS[name]
    check(build(Tagger, inputs, "tags", **options), tmp_path / "m.onnx", ROWS)


@pytest.mark.parametrize("unique", [True, False], ids=["unique words", "all words"])
@pytest.mark.parametrize(
    "module",
    [
        partial(CharacterLSTM, embedding_dim=3, hidden_size=2),
        partial(CharacterCNN, embedding_dim=3, filters=2),
    ],
    ids=["lstm", "cnn"],
)
def test_characters_of_unique_or_all_words(module, unique, tmp_path):
    inputs = {"words": Words(), "characters": WordCharacters(column="words")}
    options = {"embeddings": {"words": EMBEDDING, "characters": module}}
    model = build(Tagger, inputs, "tags", **options)
    check(model, tmp_path / "m.onnx", ROWS, unique=unique)


@pytest.mark.parametrize(
    ("task", "target"), [(partial(Classifier, pooling=MaxPool), "label"), (Regressor, "value")]
)
def test_pairs(task, target, tmp_path):
    model = build(task, ["words", "other"], target, unaligned="other", embedding=EMBEDDING)
    session = export(model, tmp_path / "p.onnx")
    assert [value.name for value in session.get_inputs()] == ["lengths", "words", "other_lengths", "other"]
    check(model, tmp_path / "m.onnx", ROWS)


def test_features_far_from_zero_keep_their_precision(tmp_path):
    """The graph standardises in float64: float32 would round these values to multiples of 8."""
    offset = 1e8
    shifted = [[[offset + i % 3, 1.0 * i] for i in range(n)] for n in LENGTHS]
    rows = {"series": shifted, "tags": ROWS["tags"]}
    data = SequenceDataModule(
        datasets.Dataset.from_dict(rows), "series", "tags", max_tokens=10**4, validation_fraction=0.0
    )
    check(Tagger(data.spec, encoder=ENCODER), tmp_path / "m.onnx", rows)


def test_an_encoder_of_ones_own_feeds_what_it_gives(tmp_path):
    model = build(Tagger, {"series": Halves()}, "tags")
    session = export(model, tmp_path / "m.onnx")
    assert about(session)["inputs"]["series"]["holds"] == "encoded"
    (_, series) = session.get_inputs()
    assert series.type == "tensor(float)"
    assert run(session, feeds_of(session, ROWS))["tags"].shape == (len(LENGTHS), max(LENGTHS))


def test_unknown_parts_are_named(tmp_path):
    for options in ({"embedding": Own}, {"embedding": EMBEDDING, "encoder": Own}):
        model = build(Tagger, ["words"], "tags", **options)
        with pytest.raises(ValueError, match="no ONNX graph is known for the layer Own"):
            export(model, tmp_path / "m.onnx")
    inputs = {"words": Words(), "characters": WordCharacters(column="words")}
    model = build(Tagger, inputs, "tags", embedding=EMBEDDING, embeddings={"characters": Own})
    with pytest.raises(ValueError, match="for the encoder of characters Own; there is one for CharacterCNN"):
        export(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
