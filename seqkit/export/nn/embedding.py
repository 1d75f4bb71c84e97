"""Embeddings, projections, and the layers that do nothing in evaluation."""

from torch import nn

from seqkit.export.graph import Encoded, Graph, Steps, layers
from seqkit.nn import Dropout, Embedding, LockedDropout, Projection

State = tuple[str, ...]


@layers.register(nn.Identity, nn.Dropout, Dropout, LockedDropout)
def _identity(graph: Graph, module: nn.Module, steps: Steps, state: State = ()) -> Encoded:  # noqa: ARG001
    return Encoded(steps)


@layers.register(Embedding)
def _embedding(graph: Graph, module: Embedding, steps: Steps, state: State = ()) -> Encoded:  # noqa: ARG001
    return Encoded(steps._replace(values=graph.node("Gather", module.weight, steps.values, axis=0)))


@layers.register(Projection)
def _projection(graph: Graph, module: Projection, steps: Steps, state: State = ()) -> Encoded:  # noqa: ARG001
    return Encoded(steps._replace(values=graph.linear(steps.values, module.linear.weight, module.linear.bias)))
