"""The options that torch's layers lack, and the projection: every implementation against the plain loop."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkit import kernels
from seqkit.kernels import Extras, native
from seqkit.kernels.cells import GATES, Layer

from .test_layer import MODES, assert_same, lengths, problem

NOISE = ["hidden_mask", "keep_hidden", "keep_cell"]
NORMS = ["input_gain", "hidden_gain", "cell_gain"]
TOLERANCES = {"closed_form": 1e-11, "native": 4e-5}
BACKENDS = [("closed_form", torch.float64)]
if "native" in kernels.available():
    BACKENDS.append(("native", torch.float32))


def extras(mode, names, lengths, width, directions=2, dtype=torch.float64, projection=0):
    """Masks of zeros and twos, shares from 0 to 1 including both, gains around 1."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape):
        return torch.rand(directions, *shape, generator=generator, dtype=torch.float64)

    out = projection or width
    found = {
        "hidden_mask": (draw(len(lengths), out) > 0.5) * 2.0,
        "keep_hidden": (draw(sum(lengths), out) * 2 - 0.5).clamp(0, 1),
        "input_gain": draw(GATES[mode] * width) + 0.5,
        "hidden_gain": draw(GATES[mode] * width) + 0.5,
    }
    if mode == "LSTM":
        found["keep_cell"] = (draw(sum(lengths), width) * 2 - 0.5).clamp(0, 1)
        found["cell_gain"] = draw(width) + 0.5
        found["cell_bias"] = draw(width) - 0.5
    wanted = {name: e.to(dtype) for name, e in found.items() if name in names or name[:-5] + "_gain" in names}
    return Extras(**{n: e.requires_grad_() if n not in NOISE else e for n, e in wanted.items()})


def run(mode, backend, data, layout, state, weights, more):
    output, final = kernels.layer(mode, data, layout, state, weights, more, backend=backend)
    values = [output, *final]
    generator = torch.Generator().manual_seed(0)
    cotangents = [torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype) for v in values]
    leaves = [data, *state, *weights, *(e for e in more if e is not None and e.requires_grad)]
    return values + list(torch.autograd.grad(values, leaves, cotangents))


def compare(backend, dtype, mode, names, lengths, width, projection=0, **options):
    options["projection"] = projection
    expected, found = (
        run(
            mode,
            b,
            *problem(mode, lengths, width, dtype=d, **options),
            extras(mode, names, lengths, width, options.get("directions", 2), d, projection),
        )
        for b, d in (("reference", torch.float64), (backend, dtype))
    )
    assert_same(found, expected, TOLERANCES[backend])


@pytest.mark.parametrize(
    ("backend", "dtype", "mode", "projection"),
    [*((*b, m, 0) for b in BACKENDS for m in MODES), (*BACKENDS[0], "LSTM", 3)],  # native has no projection
)
@pytest.mark.parametrize("names", [[], *([n] for n in NOISE + NORMS), NOISE, NORMS, NOISE + NORMS], ids="+".join)
def test_values_and_gradients(backend, dtype, mode, names, projection):
    for directions, bias in itertools.product((1, 2), (True, False)):
        compare(backend, dtype, mode, names, [6, 3, 3, 1], 5, projection, directions=directions, bias=bias)


@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15, deadline=None)
@given(
    lengths=lengths,
    width=st.integers(4, 40),  # two normalised values are signs, which hide errors
    directions=st.integers(1, 2),
    names=st.sets(st.sampled_from(NOISE + NORMS)),
)
def test_drawn_values_and_gradients(backend, dtype, mode, lengths, width, directions, names):
    compare(backend, dtype, mode, names, lengths, width, directions=directions)


@pytest.mark.parametrize(("backend", "dtype"), [("reference", torch.float64), *BACKENDS])
@pytest.mark.parametrize("mode", MODES)
def test_no_token(backend, dtype, mode):
    more = extras(mode, NOISE + NORMS, [], 4, dtype=dtype)
    found = run(mode, backend, *problem(mode, [], 4, dtype=dtype), more)
    assert found[0].shape == (0, 8)
    assert all(not g.any() for g in found[1:])


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_twice(mode):
    projection = 2 if mode == "LSTM" else 0
    data, layout, state, weights = problem(mode, [3, 1], 3, directions=1, size=2, projection=projection)
    more = extras(mode, NOISE + NORMS, [3, 1], 3, directions=1, projection=projection)
    learned = [e for e in more if e is not None and e.requires_grad]

    def function(data, *tensors):
        given = iter(tensors[-len(learned) :])
        own = Extras(*(next(given) if e is not None and e.requires_grad else e for e in more))
        rest = tensors[: -len(learned)]
        output, final = kernels.layer(
            mode, data, layout, rest[: len(state)], rest[len(state) :], own, backend="closed_form"
        )
        return output, *final

    inputs = [data, *state, *weights, *learned]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, atol=1e-4)


@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_zoneout_of_everything_keeps_the_initial_state(backend, dtype, mode):
    data, layout, state, weights = problem(mode, [4, 2], 5, dtype=dtype)
    ones = torch.ones(2, 6, 5, dtype=dtype)
    more = Extras(keep_hidden=ones, keep_cell=ones if mode == "LSTM" else None)
    output, final = kernels.layer(mode, data, layout, state, weights, more, backend=backend)
    assert all(torch.equal(f, s) for f, s in zip(final, state, strict=True))
    expected = state[0][:, layout.ranks].transpose(0, 1).flatten(1)
    assert torch.equal(output, expected)


@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", [[], NOISE, ["hidden_gain"], ["cell_gain"], [*NOISE, *NORMS]])
def test_same_bits_with_and_without_gradients(backend, dtype, mode, names):
    data, layout, state, weights = problem(mode, [9, 7, 4, 4, 1], 20, dtype=dtype)
    more = extras(mode, names, [9, 7, 4, 4, 1], 20, dtype=dtype)
    output, final = kernels.layer(mode, data, layout, state, weights, more, backend=backend)
    with torch.no_grad():
        other_output, other_final = kernels.layer(mode, data, layout, state, weights, more, backend=backend)
    assert not other_output.requires_grad
    assert all(map(torch.equal, (output, *final), (other_output, *other_final)))


@pytest.mark.skipif("native" not in kernels.available(), reason="built without a compiler")
@pytest.mark.parametrize("mode", MODES)
def test_native_gives_the_same_bits_on_any_number_of_threads(mode):
    lengths = [9, 7, 4, 4, 3, 2, 1, 1]
    before, runs = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            more = extras(mode, [*NOISE, "hidden_gain", "cell_gain"], lengths, 20, dtype=torch.float32)
            data, layout, state, weights = problem(mode, lengths, 20, dtype=torch.float32)
            layer = Layer(mode, layout, state, weights, more)
            with torch.no_grad():
                output, final, saved = native.forward(layer, data, keep=True)
                back = native.backward(layer, output, saved, [output, *final])
            runs.append([output, *final, back.slots, back.before, *back.initial])
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))
