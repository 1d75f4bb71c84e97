"""Models, their rows, and pieces of rows, for the tests of streams."""

import math
from functools import cache, partial

import datasets
import torch
from hypothesis import strategies as st
from torch import nn

from seqkit import Classifier, Forecaster, MultiTask, Regressor, SequenceDataModule, Tagger
from seqkit.data import MultiLabels, WordCharacters, Words, WordShapes
from seqkit.nn import GRU, LSTM, RNN, CharacterCNN, CharacterLSTM, Embedding, Projection, Stack

SIZE, DIM = {"hidden_size": 6}, {"embedding_dim": 4}
ENCODERS = {
    "lstm": partial(LSTM, **SIZE),
    "lstm, projected": partial(LSTM, **SIZE, num_layers=2, proj_size=4),
    "lstm, without bias": partial(LSTM, **SIZE, num_layers=3, bias=False),
    "lstm, options": partial(
        LSTM, **SIZE, num_layers=3, skip="residual", layer_norm=True, zoneout=0.2, cell_zoneout=0.1
    ),
    "lstm, dropout": partial(
        LSTM, **SIZE, num_layers=2, dropout=0.5, locked_dropout=0.5, recurrent_dropout=0.5, input_dropout=0.5
    ),
    "gru": partial(GRU, **SIZE, num_layers=2, skip="highway", weight_dropout=0.5),
    "gru, without bias": partial(GRU, **SIZE, bias=False, zoneout=0.3),
    "rnn": partial(RNN, **SIZE),
    "rnn, relu": partial(RNN, **SIZE, nonlinearity="relu", num_layers=2, layer_norm=True),
    "stack": partial(Stack, layers=[partial(LSTM, **SIZE), partial(GRU, **SIZE, num_layers=2)], dropout=0.5),
    "stack, linear first": partial(Stack, layers=[partial(Projection, output_size=5), partial(RNN, **SIZE)]),
    "stack, linear last": partial(Stack, layers=[partial(LSTM, **SIZE), partial(Projection, output_size=6)]),
    "stack of stacks": partial(
        Stack, layers=[partial(Stack, layers=[partial(GRU, **SIZE)]), partial(LSTM, **SIZE, num_layers=2)]
    ),
}
EMBED = {"embedding": partial(Embedding, embedding_dim=5, word_dropout=0.1, dropout=0.3), "dropout": 0.4}
CHARACTERS = {"words": Words(), "characters": WordCharacters(column="words")}
LSTM_OF_CHARACTERS = {"characters": partial(CharacterLSTM, **DIM, hidden_size=3, dropout=0.2)}
CNN_OF_CHARACTERS = {"characters": partial(CharacterCNN, **DIM, filters=3)}
# By name: the task, its data, and the columns of its rows.
KINDS = {
    "tagger": (partial(Tagger, **EMBED, causal=True), {"inputs": "words", "targets": "tags"}),
    "sets of labels": (partial(Tagger, **EMBED), {"inputs": "words", "targets": {"flags": MultiLabels()}}),
    "each step": (partial(Regressor, **EMBED, causal=True), {"inputs": ["words", "series"], "targets": "values"}),
    "projected": (
        partial(Regressor, causal=True, embeddings={"series": partial(Projection, output_size=3)}),
        {"inputs": "series", "targets": "values"},
    ),
    "lstm of characters": (
        partial(Tagger, **EMBED, causal=True, embeddings=LSTM_OF_CHARACTERS),
        {"inputs": CHARACTERS | {"shapes": WordShapes(column="words", suffix=1)}, "targets": "tags"},
    ),
    "cnn of characters": (
        partial(Tagger, **EMBED, causal=True, embeddings=CNN_OF_CHARACTERS),
        {"inputs": CHARACTERS, "targets": "tags"},
    ),
    "sets as input": (
        partial(Regressor, embedding=partial(Embedding, embedding_dim=5), causal=True),
        {"inputs": {"flags": MultiLabels()}, "targets": "values"},
    ),
    "forecaster": (partial(Forecaster, horizon=2, dropout=0.3), {"inputs": "series"}),
    "classifier": (partial(Classifier, **EMBED), {"inputs": "words", "targets": "label"}),
    "value": (partial(Regressor, **EMBED), {"inputs": "words", "targets": "value"}),
    "spans": (partial(Tagger, **EMBED, causal=True), {"inputs": "words", "targets": "spans"}),
    "multitask": (
        partial(MultiTask, **EMBED, causal=True),
        {"inputs": ["words", "series"], "targets": ["tags", "values", "label"]},
    ),
}
ROWS = 5


class Learned(nn.Module):
    """An encoder of its own, whose state is not zero at first."""

    def __init__(self, input_size):
        super().__init__()
        self.cell, self.first, self.output_size = GRU(input_size, 6), nn.Parameter(torch.randn(1, 1, 6)), 6

    def forward(self, values, state=None):
        if state is None:
            state = self.first.expand(1, int(values.batch_sizes[0]), 6).contiguous()
        return self.cell(values, state)


@cache
def built(kind, encoder="lstm"):
    """A model in training mode, and its data."""
    task, columns = KINDS[kind]
    data = SequenceDataModule(dataset(), **columns, max_tokens=64, validation_fraction=0)
    torch.manual_seed(0)
    made = task(data.spec, encoder=Learned if encoder == "learned" else ENCODERS[encoder])
    return made.train(), data


@cache
def dataset():
    """A few rows with one column for every kind of input and target; some have equal lengths."""
    words = [[3, 8, 1, 15, 4, 4, 19], [2], [5, 6, 13], [0, 18, 9], [11, 7, 2, 16, 10]]
    return datasets.Dataset.from_dict(
        {
            "words": [[f"w{i}" for i in row] for row in words],
            "tags": [["odd" if i % 2 else "even" for i in row] for row in words],
            "flags": [[[n for n, hit in (("odd", i % 2), ("high", i > 9)) if hit] for i in row] for row in words],
            "spans": [[("O", "B-odd", "I-odd", "B-high", "I-high")[i % 5] for i in row] for row in words],
            "label": ["odd" if row[0] % 2 else "even" for row in words],
            "series": [[[float(i), i % 2 + 100.0] for i in row] for row in words],
            "values": [[i / 10 for i in row] for row in words],  # the tolerance is that of numbers about 1
            "value": [sum(row) / 50 for row in words],
        }
    )


def read_columns(data):
    """The columns of the dataset that a model reads."""
    inputs = data.spec["inputs"]
    return list(dict.fromkeys(entry.get("column", name) for name, entry in inputs.items()))


def whole(model, data, row, *, scores=False):
    """What the model predicts for a row, alone and at once."""
    model.eval()
    with torch.no_grad():
        found = model.predict_step(data.rows("train")[[row]], 0, scores=scores)
    model.train()
    return {name: values[0] for name, values in found.columns.items()}


@st.composite
def schedules(draw, lengths=None, longest=4):
    """Pushes, each with the number of new tokens of every sequence, until all are read."""
    remaining = list(lengths or map(len, dataset()["words"]))
    pushes = []
    while any(remaining):
        sizes = [draw(st.integers(0, min(left, longest))) for left in remaining]
        remaining = [left - size for left, size in zip(remaining, sizes, strict=True)]
        pushes.append(sizes)
        if len(pushes) > 12:
            pushes.append(remaining)
            break
    return pushes


def pieces(rows, pushes):
    """The values of each push: of each row the next tokens; None or an empty list where there are none."""
    read = [0] * len(rows)
    for number, sizes in enumerate(pushes):
        cut = [row[start : start + size] for row, start, size in zip(rows, read, sizes, strict=True)]
        read = [start + size for start, size in zip(read, sizes, strict=True)]
        yield [piece if len(piece) or (number + place) % 2 else None for place, piece in enumerate(cut)]


def raw(data, rows=range(ROWS)):
    """The values of rows: by themselves if the model reads one column, else a list of steps of all columns."""
    names = read_columns(data)
    columns = dataset().select(rows)
    if len(names) == 1:
        return columns[names[0]][:], lambda piece: piece
    steps = [list(zip(*(columns[name][i] for name in names), strict=True)) for i in range(len(columns))]
    return steps, lambda piece: {name: [step[at] for step in piece] for at, name in enumerate(names)}


def run(stream, data, pushes, rows=range(ROWS)):
    """Push rows in pieces; return the outputs of all pushes."""
    values, as_row = raw(data, rows)
    return [stream.push([p and as_row(p) for p in push]) for push in pieces(values, pushes)]


def joined(outputs, per_token):
    """By row: the values of all pushes per token, and the last one per sequence."""
    return [
        {
            name: [value for part in parts for value in part[name]] if name in per_token else last
            for name, last in parts[-1].items()
        }
        for parts in zip(*outputs, strict=True)
    ]


def assert_same(found, wanted):
    """Labels are equal, numbers to 1e-6."""
    if isinstance(wanted, float):
        assert math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-6)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            assert_same(found[name], values)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for pair in zip(found, wanted, strict=True):
            assert_same(*pair)
    else:
        assert found == wanted
