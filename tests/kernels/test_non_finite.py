"""Values that are not finite reach the outputs and gradients that they reach in torch."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import seqkit.nn
from seqkit import kernels, packed
from seqkit.kernels.cells import GATES
from seqkit.packed import PackedLayout

LENGTHS = [5, 3, 3, 1]
WIDTH = 20
PLACES = ["data", "hidden", "cell", "gradient", "weight", "recurrent weight", "bias"]


def assert_as_finite(found, expected):
    """Equal where finite, and finite at the same places; inf and NaN may replace each other."""
    for f, e in zip(found, expected, strict=True):
        assert torch.equal(f.isfinite(), e.isfinite())
        torch.testing.assert_close(f[f.isfinite()], e[e.isfinite()], atol=1e-4, rtol=1e-4)


def layer_with(value, place, mode, directions):
    """A stock module and the inputs of a layer with one bad value."""
    torch.manual_seed(0)
    kind = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(mode, nn.RNN)
    options = {"nonlinearity": mode[4:].lower()} if kind is nn.RNN else {}
    stock = kind(3, WIDTH, bidirectional=directions == 2, **options)
    values = pack_sequence([torch.randn(n, 3) for n in LENGTHS])
    state = [torch.randn(directions, len(LENGTHS), WIDTH) for _ in range(2 if mode == "LSTM" else 1)]
    gradient = torch.ones(sum(LENGTHS), directions * WIDTH)
    targets = [values.data, state[0], state[-1], gradient, *(w.data for w in list(stock.parameters())[:3])]
    dict(zip(PLACES, targets, strict=True))[place].view(-1)[WIDTH - 1] = value
    return stock, values, state, gradient


def results(function, values, state, gradient, weights):
    """Outputs and gradients; ``function`` maps data and states to the output and the final states."""
    data, *state = (t.detach().clone().requires_grad_() for t in (values.data, *state))
    output, final = function(data, state)
    return [output, *final, *torch.autograd.grad(output, [data, *state, *weights], gradient)]


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("mode", GATES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("directions", [1, 2])
def test_as_stock(backend, mode, value, place, directions):
    stock, values, state, gradient = layer_with(value, place, mode, directions)
    weights = list(stock.parameters())

    def run_stock(data, state):
        output, final = stock(values._replace(data=data), tuple(state) if mode == "LSTM" else state[0])
        return output.data, final if mode == "LSTM" else [final]

    def run(data, state):
        return kernels.layer(mode, data, PackedLayout.of(values), state, weights, backend=backend)

    expected = results(run_stock, values, state, gradient, weights)
    assert_as_finite(results(run, values, state, gradient, weights), expected)


@pytest.mark.parametrize("backend", [b for b in kernels.available() if b != "reference"])
@pytest.mark.parametrize("mode", GATES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["data", "hidden", "gradient"])
@pytest.mark.parametrize(
    "options", [{"zoneout": 0.3}, {"recurrent_dropout": 0.3}, {"layer_norm": True}], ids=lambda o: next(iter(o))
)
def test_options_as_reference(backend, mode, value, place, options):
    stock, values, state, gradient = layer_with(value, place, mode, 1)
    kind = getattr(seqkit.nn, mode[:3] if mode.startswith("RNN") else mode)
    more = {"nonlinearity": mode[4:].lower()} if kind is seqkit.nn.RNN else {}
    module = kind(3, WIDTH, **more, **options)
    module.load_state_dict(stock.state_dict(), strict=False)

    def run(data, state):
        torch.manual_seed(1)
        output, final = module(values._replace(data=data), tuple(state) if mode == "LSTM" else state[0])
        return output.data, final if mode == "LSTM" else [final]

    weights = list(module.parameters())
    module.backend = "reference"
    expected = results(run, values, state, gradient, weights)
    module.backend = backend
    assert_as_finite(results(run, values, state, gradient, weights), expected)


@pytest.mark.parametrize("backend", kernels.available())
def test_relu_at_exactly_zero_has_the_gradient_of_torch(backend):
    weights = [torch.zeros(WIDTH, n, requires_grad=True) for n in (3, WIDTH)]
    data = torch.ones(2, 3, requires_grad=True)
    output, _ = kernels.layer("RNN_RELU", data, PackedLayout(torch.tensor([2])), None, weights, backend=backend)
    zero = torch.zeros(1, requires_grad=True)
    (expected,) = torch.autograd.grad(zero.relu(), zero)
    (found,) = torch.autograd.grad(output.sum(), weights[0])
    assert torch.equal(found, (expected * 2).expand_as(found))


REDUCTIONS = {
    "max": (packed.max, lambda x: x.amax(0)),
    "mean": (packed.mean, lambda x: x.mean(0)),
    "softmax": (lambda p: packed.unpack(packed.softmax(p)), lambda x: x.softmax(0)),
    "downsampled max": (
        lambda p: packed.unpack(seqkit.nn.Downsample(3, 2, "max")(p)),
        lambda x: torch.stack([piece.amax(0) for piece in x.split(2)]),
    ),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_reductions_as_torch_on_each_sequence_alone(name, value):
    reduce, alone = REDUCTIONS[name]
    values = pack_sequence([torch.randn(n, 3) for n in LENGTHS])
    values.data[5, 1] = value
    values.data.requires_grad_()
    each = [x.detach().requires_grad_() for x in packed.unpack(values)]
    found, expected = list(reduce(values)), [alone(x) for x in each]
    assert_as_finite(found, expected)
    (gradient,) = torch.autograd.grad([f.square().sum() for f in found], values.data)
    assert_as_finite(
        packed.unpack(values._replace(data=gradient)),
        torch.autograd.grad([e.square().sum() for e in expected], each),
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["score", "start", "transitions", "end"])
def test_crf_gives_no_finite_likelihood(value, place):
    crf = seqkit.nn.CRF(3)
    scores, tags = (pack_sequence([x[:n] for n in LENGTHS]) for x in (torch.randn(5, 3), torch.zeros(5).long()))
    where = scores.data if place == "score" else getattr(crf, place).data
    where.view(-1, where.shape[-1])[-1, 1] = value  # not of the given tag
    likelihood = crf(scores._replace(data=scores.data.requires_grad_()), tags)
    assert not likelihood[0].isfinite()
    (gradient,) = torch.autograd.grad(likelihood.sum(), scores.data)
    assert not gradient.isfinite().all()
