"""Layers that change the number of steps, and stacks of layers."""

import numpy as np

from seqkit.export.graph import Encoded, Graph, Steps, layers
from seqkit.nn import Downsample, Stack, Upsample

State = tuple[str, ...]


@layers.register(Stack)
def _stack(graph: Graph, module: Stack, steps: Steps, state: State = ()) -> Encoded:
    if state:
        raise ValueError("to_onnx: Stack takes no initial state; use seqkit.nn.LSTM, GRU or RNN as the encoder")
    encoded = Encoded(steps)
    for layer in module.layers:
        output: Encoded = layers.build(graph, layer, encoded.hidden)
        # The state of the last layer that has one.
        encoded = output if output.state else encoded._replace(hidden=output.hidden)
    return encoded


@layers.register(Downsample)
def _downsample(graph: Graph, module: Downsample, steps: Steps, state: State = ()) -> Encoded:  # noqa: ARG001
    """(B, T, D) -> (B, ceil(T / factor), ...)."""
    factor, size = np.int64(module.factor), module.input_size
    fill = float(np.finfo(np.float32).min) if module.mode == "max" else 0.0
    time = graph.node("Shape", steps.values, start=1, end=2)  # (1,)
    missing = graph.node("Mod", graph.node("Neg", time), factor)  # of the sign of the factor
    nothing = np.zeros(1, dtype=np.int64)
    pads = graph.node("Concat", np.zeros(4, dtype=np.int64), missing, nothing, axis=0)
    padded = graph.node("Pad", graph.masked(steps, fill), pads, np.float32(fill))
    rounded = graph.node("Add", steps.lengths, np.int64(module.factor - 1))
    lengths = graph.node("Div", rounded, factor)
    if module.mode == "concat":
        return Encoded(Steps(_reshaped(graph, padded, module.factor * size), lengths))
    windows = _windows(graph, padded, module.factor, size)  # (B, M, factor, D)
    if module.mode == "max":
        values = graph.node("ReduceMax", windows, axes=[2], keepdims=0)
        merged = Steps(values, lengths)
        return Encoded(merged._replace(values=graph.masked(merged, 0.0)))
    total = graph.node("ReduceSum", windows, np.array([2], dtype=np.int64), keepdims=0)
    mask = graph.cast(graph.unsqueeze(graph.mask(steps), 2), np.float32)
    exist = _windows(graph, graph.node("Pad", mask, pads, np.float32(0)), module.factor, 1)
    number = graph.node("ReduceSum", exist, np.array([2], dtype=np.int64), keepdims=0)
    values = graph.node("Div", total, graph.node("Max", number, np.float32(1)))
    return Encoded(Steps(values, lengths))


@layers.register(Upsample)
def _upsample(graph: Graph, module: Upsample, steps: Steps, state: State = ()) -> Encoded:  # noqa: ARG001
    """(B, T, D) -> (B, T × factor, output_size)."""
    lengths = graph.node("Mul", steps.lengths, np.int64(module.factor))
    if module.linear is not None:
        values = graph.linear(steps.values, module.linear.weight, module.linear.bias)
    else:
        values = graph.node("Concat", *[steps.values] * module.factor, axis=2)
    return Encoded(Steps(_reshaped(graph, values, module.output_size), lengths))


def _windows(graph: Graph, values: str, factor: int, size: int) -> str:
    """(B, M × factor, size) -> (B, M, factor, size)."""
    return graph.reshape(values, 0, -1, factor, size)


def _reshaped(graph: Graph, values: str, size: int) -> str:
    """(B, T, D) -> (B, T × D / size, size)."""
    return graph.reshape(values, 0, -1, size)
