"""Recurrent layers with options that the operators of ONNX lack: a loop (Scan) over the time steps."""

import numpy as np
from torch import Tensor, nn

from seqkit.export.graph import Graph, Steps
from seqkit.kernels.cells import EPSILON


def scanned_layer(
    graph: Graph, module: nn.RNNBase, number: int, data: str, steps: Steps, initial: list[str]
) -> tuple[str, tuple[str, ...]]:
    """Run one layer with ``proj_size``, zoneout or layer normalisation.

    Args:
        graph: The graph.
        module: The layers.
        number: The layer's number.
        data: The input, (T, B, I).
        steps: The batch, for its lengths.
        initial: The initial states (directions, B, ·); empty for zeros.

    Returns:
        The output (T, B, P × directions) and the final states (directions, B, ·).
    """
    mask = graph.unsqueeze(graph.node("Transpose", graph.mask(steps), perm=[1, 0]), 2)  # (T, B, 1)
    outputs, finals = [], []
    for direction in range(2 if module.bidirectional else 1):
        cell = _Cell(module, f"l{number}{'_reverse' * direction}")
        values = graph.node("ReverseSequence", data, steps.lengths, time_axis=0) if direction else data
        projected = cell.projected(graph, values)
        if initial:
            states = [graph.node("Gather", state, np.int64(direction), axis=0) for state in initial]
        else:
            states = [_zeros(graph, data, size) for size in cell.state_sizes]
        body = cell.body(graph)
        *final, output = graph.node_of(
            len(states) + 1, "Scan", *states, projected, mask, body=body, num_scan_inputs=2
        )
        outputs.append(graph.node("ReverseSequence", output, steps.lengths, time_axis=0) if direction else output)
        finals.append([graph.unsqueeze(state, 0) for state in final])
    if len(outputs) == 1:
        return outputs[0], tuple(finals[0])
    joined = tuple(graph.node("Concat", *each, axis=0) for each in zip(*finals, strict=True))
    return graph.node("Concat", *outputs, axis=2), joined


class _Cell:
    """One direction of a layer; the steps are those of `seqkit.kernels.reference.cell`.

    Args:
        module: The layers.
        place: The layer and direction, as in the names of weights, such as ``l0_reverse``.
    """

    def __init__(self, module: nn.RNNBase, place: str) -> None:
        self.module = module
        self.place = place
        self.is_lstm = module.mode == "LSTM"
        self.state_sizes = [module.proj_size or module.hidden_size, module.hidden_size][: 1 + self.is_lstm]

    def projected(self, graph: Graph, values: str) -> str:
        """Return the input's part of the gates, (T, B, gates × H)."""
        return self._product(graph, values, "ih")

    def body(self, outer: Graph) -> Graph:
        """Build the graph of one step: states (B, ·), the input's part (B, gates × H) and a mask (B, 1)."""
        graph = outer.inner()
        names = ["hidden", "cell"][: len(self.state_sizes)]
        states = [graph.input(outer.new_name(name), np.float32) for name in names]
        projected = graph.input(outer.new_name("projected"), np.float32)
        mask = graph.input(outer.new_name("mask"), np.bool_)
        recurrent = self._product(graph, states[0], "hh")
        new = self._lstm(graph, projected, recurrent, states) if self.is_lstm else []
        if self.module.mode == "GRU":
            new = [self._gru(graph, projected, recurrent, states[0])]
        elif not self.is_lstm:
            activation = self.module.mode.removeprefix("RNN_").capitalize()
            new = [graph.node(activation, graph.node("Add", projected, recurrent))]
        shares = ("zoneout", "cell_zoneout")
        kept = [
            self._kept(graph, value, state, getattr(self.module, share, 0.0))
            for value, state, share in zip(new, states, shares, strict=False)
        ]
        # Behind its end a sequence keeps its state, which is then the final one.
        after = [graph.node("Where", mask, value, state) for value, state in zip(kept, states, strict=True)]
        for value, name in zip(after, names, strict=True):
            graph.output(value, outer.new_name(name), np.float32)
        graph.output(after[0], outer.new_name("step"), np.float32)
        return graph

    def _lstm(self, graph: Graph, projected: str, recurrent: str, states: list[str]) -> list[str]:
        gates = graph.node_of(4, "Split", graph.node("Add", projected, recurrent), axis=1)
        enter, forget, leave = (graph.node("Sigmoid", gates[place]) for place in (0, 1, 3))
        update = graph.node("Mul", enter, graph.node("Tanh", gates[2]))
        cell = graph.node("Add", graph.node("Mul", forget, states[1]), update)
        shown = self._normalised(graph, cell, "cell", self._weight("offset_cell"))
        hidden = graph.node("Mul", leave, graph.node("Tanh", shown))
        projection = self._weight("weight_hr")
        return [hidden if projection is None else graph.linear(hidden, projection), cell]

    def _gru(self, graph: Graph, projected: str, recurrent: str, hidden: str) -> str:
        reset, update, new = graph.node_of(3, "Split", projected, axis=1)
        of_reset, of_update, of_new = graph.node_of(3, "Split", recurrent, axis=1)
        reset, update = (
            graph.node("Sigmoid", graph.node("Add", *pair)) for pair in ((reset, of_reset), (update, of_update))
        )
        new = graph.node("Tanh", graph.node("Add", new, graph.node("Mul", reset, of_new)))
        change = graph.node("Mul", update, graph.node("Sub", hidden, new))
        return graph.node("Add", new, change)

    def _product(self, graph: Graph, values: str, side: str) -> str:
        """Multiply by the weights of the input (``ih``) or hidden state (``hh``), normalise, and add the bias."""
        weight = self._weight(f"weight_{side}")
        assert weight is not None
        product = self._normalised(graph, graph.linear(values, weight), side)
        bias = self._weight(f"bias_{side}") if self.module.bias else None
        return product if bias is None else graph.node("Add", product, bias)

    def _normalised(self, graph: Graph, values: str, name: str, offset: Tensor | None = None) -> str:
        gain = self._weight(f"gain_{name}")
        if gain is None:
            return values
        return graph.node("LayerNormalization", values, gain, offset, axis=-1, epsilon=EPSILON)

    def _kept(self, graph: Graph, value: str, before: str, share: float) -> str:
        """Apply the expectation of zoneout."""
        if not share:
            return value
        kept = graph.node("Mul", before, np.float32(share))
        return graph.node("Add", kept, graph.node("Mul", value, np.float32(1 - share)))

    def _weight(self, name: str) -> Tensor | None:
        return getattr(self.module, f"{name}_{self.place}", None)


def _zeros(graph: Graph, data: str, size: int) -> str:
    """Return a state of zeros (B, size) for data (T, B, I)."""
    count = graph.node("Shape", data, start=1, end=2)
    shape = graph.node("Concat", count, np.array([size], dtype=np.int64), axis=0)
    return graph.node("Expand", np.zeros((1, 1), dtype=np.float32), shape)
