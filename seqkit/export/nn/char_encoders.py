"""Encoders of the characters of words."""

from collections.abc import Iterable
from typing import cast

import numpy as np
from torch import nn

from seqkit.export.graph import Encoded, Graph, Steps, layers, word_encoders
from seqkit.export.nn.rnn import last_states
from seqkit.nn import CharacterCNN, CharacterLSTM


@word_encoders.register(CharacterLSTM)
def _lstm(graph: Graph, module: CharacterLSTM, characters: Steps) -> str:
    embedded: Encoded = layers.build(graph, module.embedding, characters)
    encoded: Encoded = layers.build(graph, module.lstm, embedded.hidden)
    return last_states(graph, encoded.state[0], directions=2)


@word_encoders.register(CharacterCNN)
def _cnn(graph: Graph, module: CharacterCNN, characters: Steps) -> str:
    embedded: Encoded = layers.build(graph, module.embedding, characters)
    # Behind a word's end the filters read zeros, as before its start.
    line = graph.node("Transpose", graph.masked(embedded.hidden, 0.0), perm=[0, 2, 1])  # (W, E, L)
    features = [
        graph.node("Conv", line, filters.weight, filters.bias, pads=[(width - 1) // 2, width // 2])
        for width, filters in zip(module.widths, cast(Iterable[nn.Conv1d], module.convolutions), strict=True)
    ]
    joined = features[0] if len(features) == 1 else graph.node("Concat", *features, axis=1)  # (W, D, L)
    mask = graph.unsqueeze(graph.mask(characters), 1)
    known = graph.node("Where", mask, joined, np.float32(-np.inf))
    return graph.node("Tanh", graph.node("ReduceMax", known, axes=[2], keepdims=0))
