import copy
import io
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

import seqkit.nn
from seqkit import packed
from seqkit.nn import restore_recurrent

NAMES = ["LSTM", "GRU", "RNN"]
ALL = {
    "input_dropout": 0.3,
    "locked_dropout": 0.3,
    "recurrent_dropout": 0.3,
    "weight_dropout": 0.3,
    "zoneout": 0.3,
    "layer_norm": True,
    "skip": "highway",
}


def make(name, **options):
    torch.manual_seed(0)
    return getattr(seqkit.nn, name)(5, 6, **{"num_layers": 2, "bidirectional": True, **options})


def batch(lengths=(4, 3, 1), sort=True, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(n, 5, generator=generator, dtype=dtype) for n in lengths]
    return pack_sequence(rows, enforce_sorted=sort)


def flat(result):
    output, state = result
    return [output.data, *(state if isinstance(state, tuple) else (state,))]


def seeded(module, values, hx=None):
    torch.manual_seed(3)
    return flat(module(values, hx))


@pytest.mark.parametrize(
    ("name", "option"), [*itertools.product(NAMES, [*ALL, "residual"]), ("LSTM", "cell_zoneout")]
)
def test_every_backend_gives_the_same_under_one_seed(name, option):
    options = {"skip": "residual"} if option == "residual" else {option: ALL.get(option, 0.3)}
    plain, module = make(name).double(), make(name, **options).double()
    module.load_state_dict(plain.state_dict(), strict=not module.layer_norm and options.get("skip") != "highway")
    reference = copy.deepcopy(module)
    reference.backend = "reference"
    values = batch(dtype=torch.float64)
    for training in (True, False):
        found, expected = (seeded(m.train(training), values) for m in (module, reference))
        torch.testing.assert_close(found, expected)
        unchanged = torch.equal(found[0], flat(plain(values))[0])
        assert unchanged == (not training and "dropout" in option)
        grads = [
            torch.autograd.grad(sum(f.sum() for f in r), m.parameters())
            for r, m in ((found, module), (expected, reference))
        ]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("name", NAMES)
def test_all_together_in_single_precision(name):
    module = make(name, **ALL)
    reference = copy.deepcopy(module)
    reference.backend = "reference"
    for values in (batch(), batch((1, 4, 2), sort=False), batch((1,))):
        torch.testing.assert_close(seeded(module, values), seeded(reference, values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_is_that_of_torch_until_a_norm_or_a_highway_adds_weights(name):
    stock = getattr(nn, name)(5, 6, num_layers=2, bidirectional=True)
    noisy = make(name, **{n: p for n, p in ALL.items() if n.endswith(("dropout", "zoneout"))}, skip="residual")
    assert list(noisy.state_dict()) == list(stock.state_dict())
    extra = make(name, layer_norm=True, skip="highway")
    found = extra.load_state_dict(stock.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all(key.startswith(("gain_", "offset_", "highway_")) for key in found.missing_keys)
    stored = io.BytesIO()
    torch.save(extra.state_dict(), stored)
    stored.seek(0)
    loaded = make(name, layer_norm=True, skip="highway")
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(flat(loaded(batch())), flat(extra(batch())), strict=True))


def test_locked_masks_are_one_for_a_sequence():
    module = make("RNN", nonlinearity="relu", num_layers=1, bidirectional=False, input_dropout=0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.weight_ih_l0[:5] = torch.eye(5)
    values = batch((30, 20, 10))
    values = values._replace(data=torch.ones_like(values.data))
    output, _ = module(values)
    for sequence in packed.unpack(output):
        assert torch.equal(sequence, sequence[:1].expand_as(sequence))
    assert set(output.data[:, :5].unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(output.data[0], output.data[1])
    assert not torch.equal(module(values)[0].data, output.data)


def test_residual_and_highway_by_hand():
    module = make("LSTM", num_layers=2, skip="highway")
    first, second = (make("LSTM", num_layers=1) for _ in range(2))
    second = seqkit.nn.LSTM(12, 6, bidirectional=True)
    for k, layer in enumerate((first, second)):
        own = {n.replace(f"_l{k}", "_l0"): p for n, p in module.state_dict().items() if f"_l{k}" in n}
        layer.load_state_dict({n: p for n, p in own.items() if not n.startswith("highway")})
    below = first(batch())[0]
    above = second(below)[0].data
    gate = F.linear(below.data, module.highway_weight_l1, module.highway_bias_l1).sigmoid()
    torch.testing.assert_close(module(batch())[0].data, gate * above + (1 - gate) * below.data)
    module.skip = "residual"
    torch.testing.assert_close(module(batch())[0].data, above + below.data)


def test_initial_values():
    module = make("LSTM", layer_norm=True, skip="highway")
    module.reset_parameters()
    assert module.gain_ih_l1_reverse.eq(1).all()
    assert module.gain_cell_l0.eq(1).all()
    assert module.offset_cell_l0.eq(0).all()
    assert module.highway_bias_l1.eq(-1).all()
    assert module.highway_weight_l1.std() > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sort", [True, False])
def test_compiled_without_a_break(name, sort):
    torch._dynamo.reset()
    module = make(name, **{**ALL, "zoneout": 0.0}, num_layers=2)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    values = batch() if sort else batch((1, 4, 3), sort=False)
    module.eval()
    torch.testing.assert_close(flat(compiled(values)), flat(module(values)))
    module.train()
    first, second = flat(compiled(values)), flat(compiled(values))
    assert not torch.equal(first[0], second[0])
    torch.autograd.grad(sum(f.sum() for f in first), module.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoneout": 1.0}, r"^zoneout is 1\.0, but it is a probability below 1$"),
        ({"input_dropout": -0.1}, r"^input_dropout is -0\.1, but"),
        ({"num_layers": 1, "locked_dropout": 0.1}, "of a single one; for the output take seqkit.nn.LockedDropout"),
        ({"num_layers": 1, "skip": "residual"}, "^skip is residual, which is between layers, of a single one"),
        ({"skip": "dense"}, "^skip is 'dense'; it is 'residual', 'highway' or None"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make("GRU", **options)


def test_representation_names_what_is_on():
    assert str(make("GRU", zoneout=0.1, skip="residual")).endswith("zoneout=0.1, skip=residual)")
    assert str(make("GRU")) == str(nn.GRU(5, 6, num_layers=2, bidirectional=True))


def test_restoring_what_torch_lacks_is_refused():
    model = nn.Sequential(make("GRU", weight_dropout=0.1))
    with pytest.raises(
        ValueError, match=r"^0 \(GRU\) has options that torch's lacks: GRU\(.*weight_dropout=0\.1\)"
    ):
        restore_recurrent(model)


def test_options_with_a_projection():
    module = make("LSTM", proj_size=3, **{n: v for n, v in ALL.items() if n != "skip"}, cell_zoneout=0.2).double()
    reference = copy.deepcopy(module)
    reference.backend = "reference"
    values = batch(dtype=torch.float64)
    for training, sort in itertools.product((True, False), (True, False)):
        values = batch(dtype=torch.float64) if sort else batch((1, 4, 3), sort=False, dtype=torch.float64)
        torch.testing.assert_close(
            seeded(module.train(training), values), seeded(reference.train(training), values)
        )
