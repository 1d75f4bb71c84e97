import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from seqkit import kernels
from seqkit.kernels.cells import GATES
from seqkit.packed import PackedLayout

MODES = list(GATES)
BACKENDS = [b for b in ("closed_form", "native") if b in kernels.available()]
DTYPES = {"closed_form": torch.float64, "native": torch.float32}
TOLERANCES = {torch.float64: 1e-11, torch.float32: 2e-5}

lengths = st.one_of(
    st.lists(st.integers(1, 7), min_size=1, max_size=9),
    st.lists(st.just(3), min_size=1, max_size=20),  # ties
    st.integers(1, 40).map(lambda n: [n]),  # one sequence
    st.just([1]),  # one token
    st.lists(st.integers(1, 3), min_size=1, max_size=5).map(lambda short: [60, *short]),  # one long sequence
).map(lambda ls: sorted(ls, reverse=True))


def problem(mode, lengths, width, directions=2, bias=True, size=5, dtype=torch.float64, projection=0):
    """Inputs of a layer, drawn in double precision from a fixed generator, as leaves of `dtype`."""
    generator = torch.Generator().manual_seed(len(lengths) + 10 * width)

    def leaf(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    layout = PackedLayout(
        pack_sequence([torch.zeros(n) for n in lengths]).batch_sizes if lengths else torch.empty(0).long()
    )
    out = projection or width
    state = [leaf(directions, len(lengths), out)]
    if mode == "LSTM":
        state.append(leaf(directions, len(lengths), width))
    weights = []
    for _ in range(directions):
        rows = GATES[mode] * width
        weights += [leaf(rows, size), leaf(rows, out)] + ([leaf(rows), leaf(rows)] if bias else [])
        weights += [leaf(projection, width)] if projection else []
    return (
        leaf(sum(lengths), size),
        layout,
        state,
        [(w * 0.6 / width**0.5).detach().requires_grad_() for w in weights],
    )


def run(mode, backend, data, layout, state, weights):
    """All values and all gradients of a layer for a loss with a different weight for each element."""
    output, final = kernels.layer(mode, data, layout, state, weights, backend=backend)
    values = [output, *final]
    generator = torch.Generator().manual_seed(0)
    cotangents = [torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype) for v in values]
    return values + list(torch.autograd.grad(values, [data, *state, *weights], cotangents))


def assert_same(found, expected, tolerance):
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        scale = max(1.0, e.abs().max().item()) if e.numel() else 1.0
        torch.testing.assert_close(f.double(), e.double(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_reference_equals_torch_on_each_sequence_alone(mode, directions, bias):
    lengths = [6, 3, 3, 1]
    data, layout, state, weights = problem(mode, lengths, 4, directions, bias)
    output, final = kernels.layer(mode, data, layout, state, weights, backend="reference")
    kind = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(mode, nn.RNN)
    options = {"nonlinearity": mode[4:].lower()} if kind is nn.RNN else {}
    alone = kind(5, 4, bias=bias, bidirectional=directions == 2, dtype=torch.float64, **options)
    for parameter, weight in zip(alone.parameters(), weights, strict=True):
        parameter.data.copy_(weight)
    for j in range(len(lengths)):
        rows = [n for n in range(len(data)) if layout.ranks[n] == j]
        hx = tuple(s[:, j].contiguous() for s in state)
        expected, last = alone(data[rows], hx if mode == "LSTM" else hx[0])
        last = last if mode == "LSTM" else (last,)
        torch.testing.assert_close(output[rows], expected)
        torch.testing.assert_close([f[:, j] for f in final], list(last))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15, deadline=None)
@given(lengths=lengths, width=st.integers(1, 40), directions=st.integers(1, 2), bias=st.booleans())
def test_values_and_gradients(backend, mode, lengths, width, directions, bias):
    dtype = DTYPES[backend]
    inputs = problem(mode, lengths, width, directions, bias, dtype=dtype)
    expected = run(mode, "reference", *problem(mode, lengths, width, directions, bias))
    assert_same(run(mode, backend, *inputs), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [16, 64, 100, 129])
def test_wider_layers(backend, mode, width):
    lengths = [25, 14, 14, 13, 9, 8, 7, 5, 5, 5, 2, 1, 1]
    dtype = DTYPES[backend]
    expected = run(mode, "reference", *problem(mode, lengths, width, size=20))
    assert_same(run(mode, backend, *problem(mode, lengths, width, size=20, dtype=dtype)), expected, 4e-5)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("mode", MODES)
def test_no_token(backend, mode):
    dtype = DTYPES.get(backend, torch.float64)
    data, layout, state, weights = problem(mode, [], 4, dtype=dtype)
    found = run(mode, backend, data, layout, state, weights)
    assert found[0].shape == (0, 8)
    assert all(not g.any() for g in found[1:])
    assert [g.shape for g in found[-len(weights) :]] == [w.shape for w in weights]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_only_the_final_state_is_used(backend, mode):
    dtype = DTYPES[backend]
    grads = []
    for name, kind in (("reference", torch.float64), (backend, dtype)):
        data, layout, state, weights = problem(mode, [4, 2], 3, dtype=kind)
        _, final = kernels.layer(mode, data, layout, state, weights, backend=name)
        grads.append(torch.autograd.grad(final[-1].sum(), [data, *state, *weights]))
    assert_same(grads[1], grads[0], TOLERANCES[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_backward_twice_through_a_retained_graph(backend, mode):
    data, layout, state, weights = problem(mode, [4, 2], 3, dtype=DTYPES[backend])
    output, _ = kernels.layer(mode, data, layout, state, weights, backend=backend)
    first = torch.autograd.grad(output.sum(), [data, *weights], retain_graph=True)
    second = torch.autograd.grad(output.sum(), [data, *weights])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_frozen_weights_and_inputs_get_no_gradient(backend):
    data, layout, state, weights = problem("LSTM", [4, 2], 3, dtype=DTYPES[backend])
    expected = run("LSTM", backend, data, layout, state, weights)
    frozen = [w.detach() for w in weights]
    output, final = kernels.layer("LSTM", data, layout, [s.detach() for s in state], frozen, backend=backend)
    generator = torch.Generator().manual_seed(0)
    values = [output, *final]
    cotangents = [torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype) for v in values]
    (gradient,) = torch.autograd.grad(values, [data], cotangents)
    assert torch.equal(gradient, expected[3])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_non_contiguous_inputs(backend, mode):
    dtype = DTYPES[backend]
    data, layout, state, weights = problem(mode, [4, 2, 1], 6, dtype=dtype)
    expected = run(mode, backend, data, layout, state, weights)

    def strided(t):
        return torch.stack([t, t], dim=-1).detach()[..., 0].requires_grad_()

    found = run(mode, backend, strided(data), layout, [strided(s) for s in state], [strided(w) for w in weights])
    assert_same(found, expected, TOLERANCES[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_nan_stays_in_its_own_sequence(backend, mode):
    dtype = DTYPES[backend]
    data, layout, state, weights = problem(mode, [5, 4, 4, 2], 20, dtype=dtype)
    clean = kernels.layer(mode, data, layout, state, weights, backend=backend)[0]
    poisoned = data.detach().clone()
    poisoned[1] = float("nan")  # the first token of the second sequence
    output = kernels.layer(mode, poisoned, layout, state, weights, backend=backend)[0]
    own = layout.ranks == 1
    assert torch.equal(output[~own], clean[~own])
    assert output[own][:, :20].isnan().all() or mode == "RNN_RELU"


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_twice(mode):
    data, layout, state, weights = problem(mode, [3, 1], 2, size=2)

    def function(data, *tensors):
        output, final = kernels.layer(
            mode, data, layout, tensors[: len(state)], tensors[len(state) :], backend="closed_form"
        )
        return output, *final

    assert torch.autograd.gradcheck(function, [data, *state, *weights])
    assert torch.autograd.gradgradcheck(function, [data, *state, *weights])


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_saturated_gates(backend):
    def saturated(dtype):
        data, layout, state, weights = problem("LSTM", [3, 2], 20, dtype=dtype)
        return (data * 1e4).detach().requires_grad_(), layout, state, weights

    dtype = DTYPES.get(backend, torch.float64)
    found = run("LSTM", backend, *saturated(dtype))
    expected = run("LSTM", "reference", *saturated(torch.float64))
    assert_same(found, expected, 1e-11 if dtype == torch.float64 else 1e-3)  # float32 holds sums of 1e4 to 1e-3


def test_unknown_backend():
    data, layout, state, weights = problem("GRU", [3, 2], 4)
    with pytest.raises(ValueError, match="backend is 'magic'; it is one of"):
        kernels.layer("GRU", data, layout, state, weights, backend="magic")
