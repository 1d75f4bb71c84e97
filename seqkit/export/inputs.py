"""From the graph's inputs to the encoder's output: ids, features, sets of labels, characters of words."""

from typing import Any, cast

import numpy as np
from torch import nn

from seqkit.class_paths import public_path
from seqkit.data import Features
from seqkit.export.graph import Encoded, Graph, Steps, layers, word_encoders
from seqkit.nn import Embedding
from seqkit.tasks.inputs import EncoderParts


def encode(graph: Graph, inputs: dict[str, Any], parts: EncoderParts) -> list[Encoded]:
    """Add the inputs, and embed and encode the sequence of each row, or both sequences of a pair.

    The lengths (B,) are the input ``lengths``, those of the other sequence of a pair ``COLUMN_lengths``.

    Args:
        graph: The graph.
        inputs: The spec's inputs, by column.
        parts: The model's modules.
    """
    encoded = []
    for number, columns in enumerate(parts.sides):
        prefix = f"{columns[0]}_" if number else ""
        about = {"column": columns[0], "holds": "lengths"}
        lengths = graph.input(f"{prefix}lengths", np.int64, ["batch"], **about)
        dimensions = ["batch", f"{prefix}time"]
        features = [
            read_input(graph, column, inputs[column], lengths, dimensions, module)
            for column, module in zip(columns, parts.embeddings, strict=True)
        ]
        values = features[0] if len(features) == 1 else graph.node("Concat", *features, axis=2)
        encoded.append(layers.build(graph, parts.encoder, Steps(values, lengths)))
    return encoded


def read_input(
    graph: Graph, column: str, entry: dict[str, Any], lengths: str, dimensions: list[str], embedding: nn.Module
) -> str:
    """Add an input and embed it.

    Args:
        graph: The graph.
        column: The column.
        entry: Its entry in the spec.
        lengths: Name of the sequences' lengths.
        dimensions: Names of the dimensions B and T.
        embedding: Its embedding; ``nn.Identity`` for features that the encoder reads as they are.

    Returns:
        The features, (B, T, D).
    """
    if entry["kind"] == "nested":
        return _read_words(graph, column, dimensions, embedding)
    if entry["kind"] == "features":
        values = _read_features(graph, column, entry, dimensions)
    elif entry["kind"] == "multilabel":
        shape = [*dimensions, entry["size"]]
        values = graph.input(column, np.float32, shape, column=column, holds="sets")
        if type(embedding) is Embedding:  # the sum of the labels' vectors
            return graph.node("MatMul", values, embedding.weight)
    else:
        values = graph.input(column, np.int64, dimensions, column=column, holds="ids")
    return cast(Encoded, layers.build(graph, embedding, Steps(values, lengths))).hidden.values


def _read_words(graph: Graph, column: str, dimensions: list[str], module: nn.Module) -> str:
    """Add the characters of W words, which may be all or the unique ones, and the word of each token."""
    words, letters = f"{column}_words", f"{column}_time"
    characters = graph.input(column, np.int64, [words, letters], column=column, holds="ids")
    lengths = graph.input(f"{column}_lengths", np.int64, [words], column=column, holds="lengths")
    index = graph.input(f"{column}_index", np.int64, dimensions, column=column, holds="index")
    vectors = word_encoders.build(graph, module, Steps(characters, lengths))
    return graph.node("Gather", vectors, index, axis=0)


def _read_features(graph: Graph, column: str, entry: dict[str, Any], dimensions: list[str]) -> str:
    """Add features, in the column's own units if seqkit's encoder standardises them."""
    shape = [*dimensions, entry["size"]]
    if entry["class_path"] != public_path(Features):
        return graph.input(column, np.float32, shape, column=column, holds="encoded")
    # In float64, as the encoder computes: the mean may be large beside the standard deviation.
    values = graph.input(column, np.float64, shape, column=column, holds="values")
    mean, std = (np.array(entry["init_args"][name], dtype=np.float64) for name in ("mean", "std"))
    standardised = graph.node("Div", graph.node("Sub", values, mean), std)
    return graph.cast(standardised, np.float32)
