"""Pooling of the encoder's output to one vector per sequence."""

import numpy as np

from seqkit.export.graph import Encoded, Graph, Steps, pools
from seqkit.export.nn.rnn import last_states
from seqkit.nn import AttentionPool, LastPool, MaxPool, MeanPool


@pools.register(LastPool)
def _last(graph: Graph, module: LastPool, encoded: Encoded) -> str:
    if not encoded.state:
        raise ValueError(
            "to_onnx: LastPool needs an encoder with a final state; use MeanPool, MaxPool or AttentionPool"
        )
    return last_states(graph, encoded.state[0], module.input_size // encoded.state_size)


@pools.register(MeanPool)
def _mean(graph: Graph, module: MeanPool, encoded: Encoded) -> str:  # noqa: ARG001
    total = graph.node("ReduceSum", graph.masked(encoded.hidden, 0.0), np.array([1]), keepdims=0)
    lengths = graph.unsqueeze(graph.cast(encoded.hidden.lengths, np.float32), 1)
    return graph.node("Div", total, lengths)


@pools.register(MaxPool)
def _max(graph: Graph, module: MaxPool, encoded: Encoded) -> str:  # noqa: ARG001
    return graph.node("ReduceMax", graph.masked(encoded.hidden, -np.inf), axes=[1], keepdims=0)


@pools.register(AttentionPool)
def _attention(graph: Graph, module: AttentionPool, encoded: Encoded) -> str:
    weights = attention_weights(graph, module, encoded.hidden)
    weighted = graph.node("Mul", graph.unsqueeze(weights, 2), encoded.hidden.values)
    return graph.node("ReduceSum", weighted, np.array([1]), keepdims=0)


def attention_weights(graph: Graph, module: AttentionPool, hidden: Steps) -> str:
    """Return the weight of each step in its sequence's vector, 0 behind its end: (B, T)."""
    inner = graph.node("Tanh", graph.linear(hidden.values, module.hidden.weight, module.hidden.bias))
    scores = hidden._replace(values=graph.linear(inner, module.score.weight))
    weights = graph.node("Softmax", graph.masked(scores, -np.inf), axis=1)  # (B, T, 1)
    return graph.squeeze(weights, 2)
