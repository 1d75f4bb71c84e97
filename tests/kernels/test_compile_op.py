import pytest
import torch
from torch import library, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import seqkit.nn
from seqkit.kernels.compile_op import recurrent_layer
from seqkit.packed import PackedLayout

KINDS = [
    ("LSTM", {}),
    ("GRU", {}),
    ("RNN", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "dropout": 0.5}),
    ("GRU", {"bias": False, "bidirectional": True}),
]
kinds = pytest.mark.parametrize(("name", "options"), KINDS)


class Model(nn.Module):
    """A tagger that also uses the final state."""

    def __init__(self, name, options):
        super().__init__()
        self.rnn = getattr(seqkit.nn, name)(5, 7, **options)
        self.head = nn.Linear(self.rnn.output_size, 3)
        self.last = nn.Linear(7, 3)

    def forward(self, values, hx=None):
        output, state = self.rnn(values, hx)
        final = state[0] if isinstance(state, tuple) else state
        output = output.data if isinstance(output, PackedSequence) else output
        return self.head(output), self.last(final)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    torch.manual_seed(0)


def batch(lengths, sort=True):
    values = [torch.randn(n, 5) for n in lengths]
    packed = pack_sequence(values, enforce_sorted=sort)
    return packed._replace(data=packed.data.requires_grad_())


def results(function, model, values, hx=None):
    tokens, final = function(values, hx)
    leaves = [values.data if isinstance(values, PackedSequence) else values, *model.parameters()]
    return [tokens, final, *torch.autograd.grad(tokens.square().sum() + final.sum(), leaves)]


UNSORTED = [pytest.param(*kind, False, marks=() if kind[1] else pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize(("name", "options", "sort"), [*((*kind, True) for kind in KINDS), *UNSORTED])
def test_packed_data_gives_one_graph(name, options, sort):
    model = Model(name, options).eval()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for lengths in ([4, 3, 1], [5, 5, 2, 1], [6, 2]):  # the same dynamic graph runs other sizes
        values = batch(lengths if sort else lengths[::-1], sort)
        torch.testing.assert_close(results(compiled, model, values), results(model, model, values))


@kinds
def test_padded_data_and_an_initial_state_give_one_graph(name, options):
    model = Model(name, options).eval()
    layers = model.rnn.num_layers * (1 + model.rnn.bidirectional)
    hx = torch.randn(layers, 3, 7)
    hx = (hx, torch.randn(layers, 3, 7)) if name == "LSTM" else hx
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for values in (torch.randn(4, 3, 5, requires_grad=True), batch([4, 3, 1])):
        torch.testing.assert_close(results(compiled, model, values, hx), results(model, model, values, hx))


def test_explain_finds_one_graph():
    model = Model("LSTM", {"num_layers": 2, "bidirectional": True})
    found = torch._dynamo.explain(model)(batch([1, 4, 3], sort=False))
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def test_dropout_of_a_compiled_model():
    model = Model("LSTM", {"num_layers": 2, "dropout": 0.5})
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    values = batch([4, 3, 1])
    first, second = compiled(values)[0], compiled(values)[0]
    assert not torch.equal(first, second)


def test_frozen_weights_and_inference():
    model = Model("GRU", {}).requires_grad_(False)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    values = batch([4, 3, 1])
    expected, found = (torch.autograd.grad(f(values)[0].sum(), values.data) for f in (model, compiled))
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(compiled(values), model(values))


def test_autocast():
    model = Model("LSTM", {})
    compiled = torch.compile(model.rnn, backend="aot_eager", fullgraph=True)
    values = batch([4, 3, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(values)[0].data, model.rnn(values)[0].data)


@pytest.mark.parametrize("backend", [None, "closed_form"])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
@pytest.mark.parametrize("given_state", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_operator_passes_opcheck(backend, mode, given_state):
    gates = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    layout = PackedLayout(torch.tensor([3, 3, 1]))
    state = [torch.randn(2, 3, 4).requires_grad_() for _ in range(2 if mode == "LSTM" else 1)]
    weights = [torch.randn(gates * 4, n).requires_grad_() for n in (5, 4, 5, 4)]
    data = torch.randn(7, 5, requires_grad=True)
    inputs = (data, layout.batch_sizes, state if given_state else [], weights, [], mode, "", backend)
    library.opcheck(recurrent_layer, inputs)


def test_an_unsupported_backend_is_refused_when_the_graph_runs():
    rnn = seqkit.nn.GRU(5, 7, dtype=torch.float64)
    rnn.backend = "native"
    compiled = torch.compile(rnn, backend="eager", fullgraph=True)
    with pytest.raises(ValueError, match=r"backend (is )?'native'"):
        compiled(pack_sequence([torch.zeros(2, 5, dtype=torch.float64)]))


def test_states_of_another_size_are_refused_when_the_graph_runs():
    compiled = torch.compile(seqkit.nn.GRU(5, 7), backend="eager", fullgraph=True)
    with pytest.raises(RuntimeError, match=r"Expected hidden states of sizes \[\(1, 2, 7\)\] .* \[\(1, 3, 7\)\]"):
        compiled(batch([4, 1]), torch.zeros(1, 3, 7))
