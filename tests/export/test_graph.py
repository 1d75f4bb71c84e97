import numpy as np
import pytest
import torch
from torch import nn

from seqkit.export import Encoded, Graph, Steps, to_proto
from seqkit.export.graph import Registry, heads, layers
from tests.export.cases import run, session_of, steps_session


def test_equal_nodes_and_constants_are_added_once():
    graph = Graph()
    x = graph.input("x", np.float32, ["n"])
    first = graph.node("Add", x, np.float32(2))
    assert graph.node("Add", x, np.float32(2)) == first
    assert graph.node("Add", x, torch.tensor(2.0)) == first
    others = [
        graph.node("Add", x, np.float64(2)),
        graph.node("Mul", x, np.float32(2)),
        graph.node("Add", first, first),
    ]
    assert len({first, *others}) == 4
    assert (len(graph.nodes), len(graph.constants)) == (4, 2)
    assert graph.node("ReduceMax", x, axes=[0]) != graph.node("ReduceMax", x, axes=[0], keepdims=0)


def test_weights_of_lower_precision_are_float32():
    graph = Graph()
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        name = graph.constant(torch.ones(3, dtype=dtype))
    assert [array.dtype for array in graph.constants.values()] == [np.float32]
    assert graph.constants[name].tolist() == [1.0, 1.0, 1.0]


def test_names():
    graph = Graph(outputs=["series"])
    assert graph.input("series", np.float32, ["n"]) == "series_input"
    assert graph.input("Add/0", np.float32, ["n"]) == "Add/0"
    assert graph.input("lengths", np.int64, ["n"]) == "lengths"
    assert graph.input("lengths", np.int64, ["n"]) == "lengths_input"
    total = graph.node("Add", "series_input", "Add/0")
    assert total != "Add/0"
    graph.output(total, "series", np.float32, ["n"])
    with pytest.raises(
        ValueError, match="two inputs or outputs would have the name 'series'; give one of the columns"
    ):
        graph.output(total, "series", np.float32, ["n"])
    found = run(
        session_of(to_proto(graph, {}).SerializeToString()),
        {
            "series_input": np.ones(2, np.float32),
            "Add/0": np.ones(2, np.float32),
            "lengths": np.ones(2, np.int64),
            "lengths_input": np.ones(2, np.int64),
        },
    )
    assert found["series"].tolist() == [2.0, 2.0]


def test_mask_and_fill():
    session = steps_session(
        lambda graph, steps: {
            "mask": graph.cast(graph.mask(steps), np.float32),
            "masked": graph.masked(steps, -1.0),
        },
        1,
    )
    values = np.zeros((2, 3, 1), np.float32)
    found = run(session, {"values": values, "lengths": np.array([1, 3])})
    assert found["mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert found["masked"][..., 0].tolist() == [[0, -1, -1], [0, 0, 0]]


def test_a_layer_of_ones_own():
    class Double(nn.Module):
        pass

    with pytest.raises(ValueError, match="no ONNX graph is known for the layer Double"):
        layers.build(Graph(), Double(), Steps("values", "lengths"))
    registry = Registry("layer")

    @registry.register(Double)
    def double(graph, module, steps, state=()):
        return Encoded(steps._replace(values=graph.node("Mul", steps.values, np.float32(2))))

    session = steps_session(lambda graph, steps: {"y": registry.build(graph, Double(), steps).hidden.values}, 1)
    found = run(session, {"values": np.ones((1, 2, 1), np.float32), "lengths": np.array([2])})
    assert found["y"].tolist() == [[[2.0], [2.0]]]


def test_unknown_classes_are_named_with_their_role():
    with pytest.raises(ValueError, match=r"no ONNX graph is known for the head Linear; there is one for .*Tagger"):
        heads.build(Graph(), nn.Linear(1, 1), [])
