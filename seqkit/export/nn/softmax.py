"""Output layers of language models."""

import numpy as np
from torch import Tensor, nn

from seqkit.export.graph import Graph, Registry
from seqkit.nn import AdaptiveSoftmax, Softmax

softmaxes = Registry("output layer")
"""Functions ``(graph, module, values: str) -> str``: from features (B, T, H) to log-probabilities (B, T, C)."""


@softmaxes.register(Softmax)
def softmax(graph: Graph, module: Softmax, values: str) -> str:
    """Add the linear layer and the softmax over all classes."""
    logits = graph.linear(values, module.linear.weight, module.linear.bias)
    return graph.node("LogSoftmax", logits, axis=-1)


@softmaxes.register(AdaptiveSoftmax)
def adaptive_softmax(graph: Graph, module: AdaptiveSoftmax, values: str) -> str:
    """Add the softmax of the frequent classes and the clusters, and that of each cluster's classes."""
    layer = module.layer
    size = layer.cutoffs[0]
    head = graph.node("LogSoftmax", graph.linear(values, layer.head.weight), axis=-1)
    parts = [_classes(graph, head, 1, size)]
    for cluster, (reduced, classes) in enumerate(map(_weights, layer.tail), start=size):
        own = graph.node("LogSoftmax", graph.linear(graph.linear(values, reduced), classes), axis=-1)
        parts.append(graph.node("Add", _classes(graph, head, cluster, cluster + 1), own))
    # The last class, the boundary of a language model, is the layer's first one.
    return graph.node("Concat", *parts, _classes(graph, head, 0, 1), axis=-1)


def _weights(tail: nn.Module) -> list[Tensor]:
    """Return the weights of a cluster's two linear layers."""
    return [layer.weight for layer in tail.children() if isinstance(layer, nn.Linear)]


def _classes(graph: Graph, values: str, first: int, end: int) -> str:
    """Return some of the classes of values (B, T, C)."""
    return graph.node("Slice", values, *(np.array([number], dtype=np.int64) for number in (first, end, 2)))
