from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqkit import packed
from seqkit.export import Steps
from seqkit.export.graph import layers
from seqkit.nn import GRU, LSTM, RNN, restore_recurrent
from tests.export.cases import TOLERANCE, layer_session, packed_and_feeds, run, steps_session

LENGTHS = [3, 1, 40, 2, 3]
CELLS = {
    "LSTM": LSTM,
    "GRU": GRU,
    "RNN": RNN,
    "relu": lambda *args, **options: RNN(*args, nonlinearity="relu", **options),
}


def session(module):
    def build(graph, steps):
        encoded = layers.build(graph, module, steps)
        states = zip(("h", "c"), encoded.state, strict=False)
        return {"output": encoded.hidden.values} | dict(states)

    return steps_session(build, module.input_size)


def compare(module, lengths=LENGTHS, own=None):
    """Compare outputs and final states in a batch with those of the module, row by row."""
    module.eval()
    sequences, feeds = packed_and_feeds(lengths, module.input_size)
    with torch.no_grad():
        output, state = module(sequences)
    found = run(own or session(module), feeds)
    for values, row, length in zip(found["output"], packed.unpack(output), lengths, strict=True):
        np.testing.assert_allclose(values[:length], row, **TOLERANCE)
    for name, values in zip(("h", "c"), state if isinstance(state, tuple) else (state,), strict=False):
        np.testing.assert_allclose(found[name], values, **TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers_", "bidirectional", "bias"), list(product([1, 3], [False, True], [True, False])))
def test_equals_the_module(cell, layers_, bidirectional, bias):
    module = CELLS[cell](5, 7, num_layers=layers_, bidirectional=bidirectional, bias=bias, batch_first=True)
    compare(module)


@pytest.fixture(scope="module", params=[{}, {"layer_norm": True}], ids=["operator", "loop"])
def deep(request):
    module = LSTM(5, 7, num_layers=2, bidirectional=True, **request.param).eval()
    return module, session(module)


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=7))
def test_batches_of_any_lengths(deep, lengths):
    module, own = deep
    compare(module, lengths, own)


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_one_row_of_one_step(cell):
    compare(CELLS[cell](5, 7, bidirectional=True), [1])


@pytest.mark.parametrize(
    "options",
    [
        {"skip": "residual"},
        {"skip": "highway"},
        {"layer_norm": True},
        {"zoneout": 0.3},
        {"layer_norm": True, "zoneout": 0.2, "skip": "highway"},
        {
            "dropout": 0.5,
            "input_dropout": 0.5,
            "locked_dropout": 0.5,
            "recurrent_dropout": 0.5,
            "weight_dropout": 0.5,
        },
    ],
    ids=lambda options: " ".join(options),
)
@pytest.mark.parametrize("cell", CELLS)
def test_options(cell, options):
    module = CELLS[cell](5, 6, num_layers=2, bidirectional=True, **options)
    for name, parameter in module.named_parameters():
        if name.startswith(("gain", "offset", "highway")):
            nn.init.normal_(parameter, 0.5)
    compare(module)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("options", [{}, {"cell_zoneout": 0.25}, {"layer_norm": True, "bias": False}], ids=str)
def test_projection_of_an_lstm(bidirectional, options):
    compare(LSTM(5, 6, num_layers=2, proj_size=4, bidirectional=bidirectional, **options))


@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"proj_size": 3}], ids=str)
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_initial_states(cell, options):
    if "proj_size" in options and cell != "LSTM":
        pytest.skip("of an LSTM only")
    module = CELLS[cell](5, 6, num_layers=2, bidirectional=True, **options).eval()
    sizes = [options.get("proj_size", 6), 6][: 1 + (cell == "LSTM")]
    states = [torch.randn(4, len(LENGTHS), size) for size in sizes]
    names = ["h0", "c0"][: len(sizes)]

    def build(graph, values, lengths, *initial):
        encoded = layers.build(graph, module, Steps(values, lengths), initial)
        return {"output": encoded.hidden.values} | dict(zip(("h", "c"), encoded.state, strict=False))

    inputs = {"values": (np.float32, ["batch", "time", 5]), "lengths": (np.int64, ["batch"])}
    for name, size in zip(names, sizes, strict=True):
        inputs[name] = (np.float32, [4, "batch", size])
    sequences, feeds = packed_and_feeds(LENGTHS, 5)
    for name, state in zip(names, states, strict=True):
        feeds[name] = state.numpy()
    with torch.no_grad():
        output, after = module(sequences, tuple(states) if cell == "LSTM" else states[0])
    found = run(layer_session(build, inputs), feeds)
    for own, row, length in zip(found["output"], packed.unpack(output), LENGTHS, strict=True):
        np.testing.assert_allclose(own[:length], row, **TOLERANCE)
    for name, values in zip(("h", "c"), after if cell == "LSTM" else (after,), strict=False):
        np.testing.assert_allclose(found[name], values, **TOLERANCE)


def test_stock_modules_of_torch():
    module = nn.Sequential(GRU(5, 7, 2, bidirectional=True))
    restore_recurrent(module)
    assert type(module[0]) is nn.GRU
    compare(module[0])


def test_parametrized_modules_are_refused():
    module = nn.utils.parametrizations.weight_norm(LSTM(5, 7), "weight_hh_l0")
    with pytest.raises(ValueError, match=r"LSTM has parametrizations of \['weight_hh_l0'\]; remove them first"):
        session(module)


def test_subclasses_are_refused():
    class Own(LSTM):
        def forward(self, input, hx=None):
            output, state = super().forward(input, hx)
            return output._replace(data=-output.data), state

    with pytest.raises(ValueError, match=r"no ONNX graph is known for the layer Own; there is one for .*LSTM"):
        session(Own(5, 7))
