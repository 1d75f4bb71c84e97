"""From the encoder's output to the graph's outputs: tags, labels, values."""

from seqkit.export.graph import Encoded, Graph
from seqkit.tasks import Task


def read(graph: Graph, task: Task, encoded: list[Encoded]) -> str:
    """Compute a task's raw outputs: per token (B, T, C) with the lengths of ``encoded[0].hidden``, else (B, C)."""
    raise NotImplementedError
