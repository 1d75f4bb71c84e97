import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import seqkit.nn

KINDS = [
    ("LSTM", {}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {"proj_size": 3}),
]
kinds = pytest.mark.parametrize(("name", "options"), KINDS)


def pair(name, options, dtype=torch.float32, **more):
    """Return torch's module and ours with the same weights."""
    torch.manual_seed(0)
    stock = getattr(nn, name)(5, 7, **options, **more, dtype=dtype)
    ours = getattr(seqkit.nn, name)(5, 7, **options, **more, dtype=dtype)
    assert not ours.load_state_dict(stock.state_dict()).missing_keys
    assert not stock.load_state_dict(ours.state_dict()).unexpected_keys
    return stock, ours


def sequences(lengths, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 5, generator=generator, dtype=dtype) for n in lengths]


def initial(module, sequences, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    layers = module.num_layers * (1 + module.bidirectional)
    h = torch.randn(layers, sequences, module.proj_size or 7, generator=generator, dtype=dtype)
    c = torch.randn(layers, sequences, 7, generator=generator, dtype=dtype)
    return (h, c) if module.mode == "LSTM" else h


def flat(result):
    output, state = result
    output = output.data if isinstance(output, PackedSequence) else output
    return [output, *(state if isinstance(state, tuple) else (state,))]


def gradients(module, values, hx):
    values = values._replace(data=values.data.clone().requires_grad_())
    hx = [s.clone().requires_grad_() for s in (hx if isinstance(hx, tuple) else (hx,))]
    found = flat(module(values, tuple(hx) if module.mode == "LSTM" else hx[0]))
    generator = torch.Generator().manual_seed(3)
    loss = sum((f * torch.randn(f.shape, generator=generator, dtype=f.dtype)).sum() for f in found)
    return torch.autograd.grad(loss, [values.data, *hx, *module.parameters()])


@kinds
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@settings(max_examples=5, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=6), given_hx=st.booleans())
def test_packed_input_equals_torch(name, options, bidirectional, bias, num_layers, lengths, given_hx):
    stock, ours = pair(name, options, bidirectional=bidirectional, bias=bias, num_layers=num_layers)
    packed = pack_sequence(sequences(lengths), enforce_sorted=False)
    hx = initial(ours, len(lengths)) if given_hx else None
    expected, found = stock(packed, hx), ours(packed, hx)
    torch.testing.assert_close(flat(found), flat(expected))
    assert torch.equal(found[0].unsorted_indices, packed.unsorted_indices)
    assert found[0].batch_sizes is packed.batch_sizes
    hx = initial(ours, len(lengths))
    torch.testing.assert_close(gradients(ours, packed, hx), gradients(stock, packed, hx), rtol=1e-4, atol=1e-4)


@kinds
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given_hx", [False, True])
def test_padded_input_equals_torch(name, options, batch_first, given_hx):
    stock, ours = pair(name, options, torch.float64, batch_first=batch_first, bidirectional=True, num_layers=2)
    padded = torch.randn(4, 3, 5, dtype=torch.float64)
    hx = initial(ours, 3 if not batch_first else 4, torch.float64) if given_hx else None
    torch.testing.assert_close(flat(ours(padded, hx)), flat(stock(padded, hx)))
    alone = torch.randn(4, 5, dtype=torch.float64)
    if hx is not None:
        hx = tuple(h[:, 0] for h in hx) if isinstance(hx, tuple) else hx[:, 0]
    torch.testing.assert_close(flat(ours(alone, hx)), flat(stock(alone, hx)))


@kinds
@pytest.mark.parametrize(
    ("values", "sequences", "message"),
    [
        (torch.zeros(2, 3, 4), None, "must be equal to input_size. Expected 5, got 4"),
        (torch.zeros(2, 3, 2, 5), None, "Expected input to be 2D or 3D, got 4D instead"),
        (torch.zeros(4, 3, 5), 2, r"Expected hidden.* size \(1, 3, .\), got \[1, 2, .\]"),
        (torch.zeros(4, 5), 2, "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor"),
        (torch.zeros(4, 3, 5, dtype=torch.float64), None, "does not match weight dtype"),
        (pack_sequence([torch.zeros(3, 4)]), None, "must be equal to input_size. Expected 5, got 4"),
        (pack_sequence([torch.zeros(3, 5)]), 2, r"Expected hidden.* size \(1, 1, .\), got \[1, 2, .\]"),
    ],
)
def test_errors_equal_torchs(name, options, values, sequences, message):
    _, ours = pair(name, options)
    with pytest.raises((ValueError, RuntimeError), match=message):
        ours(values, None if sequences is None else initial(ours, sequences))


@kinds
def test_empty_input(name, options):
    _, ours = pair(name, options, bidirectional=True, num_layers=2)
    packed = PackedSequence(torch.zeros(0, 5, requires_grad=True), torch.zeros(0, dtype=torch.int64))
    output, *states = flat(ours(packed))
    assert output.shape == (0, ours.output_size)
    assert all(s.shape[:2] == (4, 0) for s in states)
    (output.sum() + sum(s.sum() for s in states)).backward()
    assert all(not p.grad.any() for p in ours.parameters())


@kinds
def test_attributes(name, options):
    _, ours = pair(name, options, bidirectional=True)
    assert isinstance(ours, nn.RNNBase)
    assert (ours.input_size, ours.bidirectional) == (5, True)
    assert ours.output_size == 2 * options.get("proj_size", 7)
    assert ours(pack_sequence(sequences([2, 1])))[0].data.shape[1] == ours.output_size


@kinds
def test_copies_give_the_same_output(name, options):
    _, ours = pair(name, options, num_layers=2)
    packed = pack_sequence(sequences([3, 2]))
    expected = flat(ours(packed))
    stored = io.BytesIO()
    torch.save(ours.state_dict(), stored)
    stored.seek(0)
    loaded = getattr(seqkit.nn, name)(5, 7, **options, num_layers=2)
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), loaded):
        assert all(torch.equal(a, b) for a, b in zip(flat(copied(packed)), expected, strict=True))


@kinds
def test_initialisation_equals_torchs(name, options):
    torch.manual_seed(5)
    stock = getattr(nn, name)(5, 7, **options)
    torch.manual_seed(5)
    ours = getattr(seqkit.nn, name)(5, 7, **options)
    assert all(torch.equal(a, b) for a, b in zip(stock.parameters(), ours.parameters(), strict=True))


def test_dropout_acts_between_layers_and_in_training():
    stock, ours = pair("LSTM", {}, num_layers=2, dropout=0.5)
    packed = pack_sequence(sequences([4, 2]))
    torch.manual_seed(0)
    found = flat(ours(packed))
    torch.manual_seed(0)
    torch.testing.assert_close(found, flat(stock(packed)))
    assert not torch.equal(flat(ours(packed))[0], found[0])
    torch.testing.assert_close(flat(ours.eval()(packed)), flat(stock.eval()(packed)))


@kinds
def test_autocast(name, options):
    stock, ours = pair(name, options, num_layers=2, bidirectional=True)
    packed = pack_sequence(sequences([4, 2]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = ours(packed._replace(data=packed.data.bfloat16()))
    torch.testing.assert_close(output.data.float(), stock(packed)[0].data, rtol=0.05, atol=0.05)
    output.data.float().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in ours.parameters())


@kinds
def test_autocast_keeps_the_dtype_of_the_weights(name, options):
    _, ours = pair(name, options, bidirectional=True)
    packed = pack_sequence(sequences([4, 2]))
    expected = flat(ours(packed))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = flat(ours(packed))
        low = ours(packed._replace(data=packed.data.bfloat16()), None)[0].data
    assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))
    assert low.dtype == torch.float32


@kinds
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float64, 1e-6)])
def test_weights_of_other_dtypes(name, options, dtype, tolerance):
    single, _ = pair(name, options, num_layers=2, bidirectional=True)
    ours = getattr(seqkit.nn, name)(5, 7, **options, num_layers=2, bidirectional=True, dtype=dtype)
    ours.load_state_dict(single.state_dict())
    packed = pack_sequence(sequences([4, 2, 2]))
    found = flat(ours(packed._replace(data=packed.data.to(dtype))))
    assert all(f.dtype == dtype for f in found)
    torch.testing.assert_close([f.float() for f in found], flat(single(packed)), rtol=tolerance, atol=tolerance)
    sum(f.float().square().sum() for f in found).backward()
    sum(f.square().sum() for f in flat(single(packed))).backward()
    for p, q in zip(ours.parameters(), single.parameters(), strict=True):
        scale = max(1.0, q.grad.abs().max().item())
        assert p.grad.dtype == dtype
        torch.testing.assert_close(p.grad.float(), q.grad, rtol=0, atol=3 * tolerance * scale)


@kinds
def test_second_derivatives(name, options):
    _, ours = pair(name, options, torch.float64)
    packed = pack_sequence(sequences([3, 1], torch.float64))
    data = packed.data.requires_grad_()
    output = ours(packed._replace(data=data))[0].data
    (gradient,) = torch.autograd.grad(output.square().sum(), data, create_graph=True)
    assert torch.autograd.grad(gradient.square().sum(), ours.weight_hh_l0)[0].isfinite().all()


@kinds
def test_runs_are_bit_identical(name, options):
    _, ours = pair(name, options, num_layers=2, bidirectional=True)
    packed = pack_sequence(sequences([9, 7, 4, 4, 2, 1]))
    hx = initial(ours, 6)
    runs = [[*flat(ours(packed, hx)), *gradients(ours, packed, hx)] for _ in range(3)]
    for again in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], again, strict=True))


@kinds
def test_backends_agree_on_a_batch_of_one_token(name, options):
    stock, ours = pair(name, options, bidirectional=True, num_layers=2)
    packed = pack_sequence(sequences([1]))
    hx = initial(ours, 1)
    for backend in (None, "closed_form", "reference"):
        ours.backend = backend
        torch.testing.assert_close(flat(ours(packed, hx)), flat(stock(packed, hx)))
        torch.testing.assert_close(gradients(ours, packed, hx), gradients(stock, packed, hx))


def test_backend_attribute_chooses_the_backend():
    _, ours = pair("GRU", {})
    packed = pack_sequence(sequences([4, 2]))
    expected = flat(ours(packed))
    ours.backend = "reference"
    torch.testing.assert_close(flat(ours(packed)), expected)


def test_replaced_weights_are_used():
    _, ours = pair("LSTM", {})
    packed = pack_sequence(sequences([4, 2]))
    with torch.no_grad():
        ours.weight_hh_l0.zero_()
        ours.weight_ih_l0 = nn.Parameter(torch.zeros_like(ours.weight_ih_l0))
        ours.bias_ih_l0.zero_()
        ours.bias_hh_l0.zero_()
    assert not flat(ours(packed))[0].any()


def test_weights_by_functional_call_and_parametrization():
    _, ours = pair("GRU", {})
    packed = pack_sequence(sequences([4, 2]))
    expected = flat(ours(packed))
    zeros = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    assert not torch.func.functional_call(ours, zeros, (packed,))[0].data.any()
    torch.testing.assert_close(flat(ours(packed)), expected)
    nn.utils.parametrizations.weight_norm(ours, "weight_hh_l0")
    torch.testing.assert_close(flat(ours(packed)), expected)
    ours.parametrizations.weight_hh_l0.original0.data.zero_()
    assert not torch.allclose(flat(ours(packed))[0], expected[0])


def test_long_sequences_take_linear_time_and_memory():
    _, ours = pair("LSTM", {})
    packed = pack_sequence(sequences([3000, 2]))
    packed = packed._replace(data=packed.data.requires_grad_())
    ours(packed)[0].data.sum().backward()
