"""From the graph's inputs to the encoder's output."""

from typing import Any

from seqkit.export.graph import Encoded, Graph
from seqkit.tasks.inputs import EncoderParts


def encode(graph: Graph, inputs: dict[str, Any], parts: EncoderParts) -> list[Encoded]:
    """Add the inputs, and embed and encode the sequence of each row, or both sequences of a pair.

    Args:
        graph: The graph.
        inputs: The spec's inputs, by column.
        parts: The model's modules.
    """
    raise NotImplementedError
