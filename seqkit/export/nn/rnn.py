"""Recurrent layers: the operators LSTM, GRU and RNN of ONNX, which stop at each sequence's own length."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqkit.export.graph import Encoded, Graph, Steps, layers
from seqkit.export.nn.cells import scanned_layer
from seqkit.nn import GRU, LSTM, RNN

# torch stacks the gates of an LSTM as i f g o, ONNX as i o f g; those of a GRU as r z n, ONNX as z r n.
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN_TANH": [0], "RNN_RELU": [0]}


@layers.register(LSTM, GRU, RNN, nn.LSTM, nn.GRU, nn.RNN)
def recurrent(graph: Graph, module: nn.RNNBase, steps: Steps, state: tuple[str, ...] = ()) -> Encoded:
    """Run all layers.

    Args:
        graph: The graph.
        module: The layers; dropout of any kind is left out.
        steps: The input, (B, T, I).
        state: Names of h_0 (layers × directions, B, P) and, of an LSTM, c_0; empty for zeros.

    Returns:
        The output, (B, T, P × directions), and the final state.
    """
    directions = 2 if module.bidirectional else 1
    one_layer = scanned_layer if _needs_loop(module) else _layer
    data = graph.node("Transpose", steps.values, perm=[1, 0, 2])  # (T, B, I)
    finals: list[tuple[str, ...]] = []
    for number in range(module.num_layers):
        initial = [_rows(graph, s, number * directions, (number + 1) * directions) for s in state]
        output, final = one_layer(graph, module, number, data, steps, initial)
        data = _connected(graph, module, number, data, output)
        finals.append(final)
    final = tuple(
        each[0] if module.num_layers == 1 else graph.node("Concat", *each, axis=0)
        for each in zip(*finals, strict=True)
    )
    values = graph.node("Transpose", data, perm=[1, 0, 2])
    return Encoded(steps._replace(values=values), final, module.proj_size or module.hidden_size)


def last_states(graph: Graph, state: str, directions: int) -> str:
    """Return the last layer's part of a state (layers × directions, B, H), its directions side by side: (B, ·)."""
    last = graph.node("Slice", state, *(np.array([n]) for n in (-directions, np.iinfo(np.int64).max, 0)))
    return graph.reshape(graph.node("Transpose", last, perm=[1, 0, 2]), 0, -1)


def _needs_loop(module: nn.RNNBase) -> bool:
    """Whether the layers have an option that the operators lack, and that has an effect in evaluation."""
    return any(getattr(module, name, 0) for name in ("proj_size", "zoneout", "cell_zoneout", "layer_norm"))


def _layer(
    graph: Graph, module: nn.RNNBase, number: int, data: str, steps: Steps, initial: list[str]
) -> tuple[str, tuple[str, ...]]:
    """Run one layer on (T, B, I); returns the output (T, B, H × directions) and the final states."""
    kind = module.mode.partition("_")[0]  # RNN_TANH is RNN
    weights, recurrent_weights, biases = (
        _stacked(module, name, number) for name in ("weight_ih", "weight_hh", "bias")
    )
    attributes: dict[str, Any] = {
        "hidden_size": module.hidden_size,
        "direction": "bidirectional" if module.bidirectional else "forward",
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = 1  # the reset gate scales the recurrent product, with its bias
    if kind == "RNN":
        attributes["activations"] = [module.mode.removeprefix("RNN_").capitalize()] * len(_suffixes(module))
    output, *final = graph.node_of(
        3 if kind == "LSTM" else 2,
        kind,
        data,
        weights,
        recurrent_weights,
        biases,
        graph.cast(steps.lengths, np.int32),
        *initial,
        **attributes,
    )  # (T, directions, B, H)
    output = graph.reshape(graph.node("Transpose", output, perm=[0, 2, 1, 3]), 0, 0, -1)
    return output, tuple(final)


def _stacked(module: nn.RNNBase, name: str, number: int) -> Tensor | None:
    """Return a layer's weights of all directions in the order of ONNX; biases (directions, 2 × gates × H)."""
    if name != "bias":
        return torch.stack([_by_gate(module, f"{name}_l{number}{suffix}") for suffix in _suffixes(module)])
    if not module.bias:
        return None
    return torch.stack(
        [
            torch.cat([_by_gate(module, f"bias_{kind}_l{number}{suffix}") for kind in ("ih", "hh")])
            for suffix in _suffixes(module)
        ]
    )


def _by_gate(module: nn.RNNBase, name: str) -> Tensor:
    weight: Tensor = getattr(module, name).detach()
    order = _GATES[module.mode]
    parts = weight.chunk(len(order))
    return torch.cat([parts[gate] for gate in order])


def _suffixes(module: nn.RNNBase) -> tuple[str, ...]:
    return ("", "_reverse") if module.bidirectional else ("",)


def _connected(graph: Graph, module: nn.RNNBase, number: int, below: str, output: str) -> str:
    """Add the skip connection from the input of a layer to its output, (T, B, H × directions) each."""
    skip = getattr(module, "skip", None)
    if skip is None or number == 0:
        return output
    if skip == "residual":
        return graph.node("Add", below, output)
    weight, bias = (getattr(module, f"highway_{name}_l{number}") for name in ("weight", "bias"))
    share = graph.node("Sigmoid", graph.linear(below, weight, bias))
    change = graph.node("Mul", share, graph.node("Sub", output, below))
    return graph.node("Add", below, change)


def _rows(graph: Graph, values: str, start: int, end: int) -> str:
    return graph.node("Slice", values, np.array([start]), np.array([end]), np.array([0]))
