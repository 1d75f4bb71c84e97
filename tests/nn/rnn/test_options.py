import copy
import inspect
import io
import itertools
import pydoc
from collections.abc import Callable
from typing import Literal

import jsonargparse
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

import seqkit.nn
from seqkit import packed
from seqkit.nn import RecurrentOptions, restore_recurrent

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
def test_backends_agree_for_each_option(name, option):
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
def test_backends_agree_for_all_options_in_single_precision(name):
    module = make(name, **ALL)
    reference = copy.deepcopy(module)
    reference.backend = "reference"
    for values in (batch(), batch((1, 4, 2), sort=False), batch((1,))):
        torch.testing.assert_close(seeded(module, values), seeded(reference, values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_equals_torchs_except_for_weights_of_norms_and_highways(name):
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


def test_input_dropout_has_one_mask_per_sequence():
    module = make("RNN", nonlinearity="relu", num_layers=1, bidirectional=False, input_dropout=0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.weight_ih_l0[:5] = torch.eye(5)
    values = batch((30, 20, 10))
    values = values._replace(data=torch.ones_like(values.data))
    torch.manual_seed(0)  # two masks could be equal by chance
    output, _ = module(values)
    for sequence in packed.unpack(output):
        assert torch.equal(sequence, sequence[:1].expand_as(sequence))
    assert set(output.data[:, :5].unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(output.data[0], output.data[1])
    assert not torch.equal(module(values)[0].data, output.data)


def test_residual_and_highway_connections():
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
@pytest.mark.parametrize("sort", [pytest.param(True, marks=pytest.mark.slow), False])
def test_compiles_without_a_graph_break(name, sort):
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
        ({"zoneout": 1.0}, r"^zoneout is 1\.0; give a probability in \[0, 1\)$"),
        ({"input_dropout": -0.1}, r"^input_dropout is -0\.1; give"),
        ({"num_layers": 1, "locked_dropout": 0.1}, "num_layers is 1; apply seqkit.nn.LockedDropout to the output"),
        ({"num_layers": 1, "skip": "residual"}, "^skip='residual' acts between layers, but num_layers is 1; give"),
        ({"skip": "dense"}, "^skip is 'dense'; give 'residual', 'highway' or None"),
    ],
)
def test_options_out_of_range_raise_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        make("GRU", **options)


def test_unknown_options_raise_an_error():
    with pytest.raises(TypeError, match=r"^GRU: unexpected keyword argument 'cell_zoneout'"):
        make("GRU", cell_zoneout=0.1)
    with pytest.raises(TypeError, match=r"^LSTM: unexpected keyword argument 'zone_out'"):
        make("LSTM", zone_out=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_docstring_list_the_options_with_their_defaults(name):
    module = getattr(seqkit.nn, name)
    parameters = inspect.signature(module).parameters
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    assert RecurrentOptions.__annotations__.keys() <= parameters.keys()
    assert ("cell_zoneout" in parameters) == (name == "LSTM")
    assert (parameters["zoneout"].default, parameters["zoneout"].annotation) == (0.0, float)
    assert (parameters["skip"].default, parameters["skip"].annotation) == (
        None,
        Literal["residual", "highway"] | None,
    )
    text = pydoc.render_doc(module, renderer=pydoc.plaintext)
    assert "zoneout: float = 0.0" in text
    for option in RecurrentOptions.__annotations__:
        assert text.count(f"{option}: ") > 1  # in the signature and in the docstring


class Model:
    """A part that takes an encoder without its input size, like a task."""

    def __init__(self, encoder: Callable[[int], nn.Module]) -> None:
        self.encoder = encoder(5)


@pytest.mark.parametrize("name", NAMES)
def test_command_line_describes_and_accepts_the_options(name, capsys):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    with pytest.raises(SystemExit):
        parser.parse_args([f"--model.encoder.help=seqkit.nn.{name}"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.encoder.zoneout ZONEOUT Probability that a unit" in text
    assert "(type: float, default: 0.0)" in text
    assert ("--model.encoder.cell_zoneout" in text) == (name == "LSTM")
    arguments = {"hidden_size": 3, "num_layers": 2, "zoneout": 0.25, "skip": "residual"}
    encoder = {"class_path": f"seqkit.nn.{name}", "init_args": arguments}
    built = parser.instantiate(parser.parse_object({"model": {"encoder": encoder}})).model.encoder
    assert (built.input_size, built.zoneout, built.skip) == (5, 0.25, "residual")
    arguments["skip"] = "dense"
    with pytest.raises(jsonargparse.ArgumentError, match="residual"):
        parser.parse_object({"model": {"encoder": encoder}})


def test_representation_shows_the_options_that_are_on():
    assert str(make("GRU", zoneout=0.1, skip="residual")).endswith("zoneout=0.1, skip=residual)")
    assert str(make("GRU")) == str(nn.GRU(5, 6, num_layers=2, bidirectional=True))


def test_modules_with_options_cannot_be_restored():
    model = nn.Sequential(make("GRU", weight_dropout=0.1))
    with pytest.raises(ValueError, match=r"^0 \(GRU\) has options that torch lacks: GRU\(.*weight_dropout=0\.1\)"):
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
