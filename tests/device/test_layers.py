"""Every layer, with its options, on the strict device."""

from functools import partial

import pytest
import torch

import seqkit.nn
from seqkit import packed
from seqkit.kernels import choose
from seqkit.labels import allowed_transitions
from tests.device.cases import assert_same_on_device

OPTIONS = {
    "plain": {},
    "one direction": {"bidirectional": False},
    "no bias": {"bias": False},
    "one layer": {"num_layers": 1},
    "input dropout": {"input_dropout": 0.3},
    "locked dropout": {"locked_dropout": 0.3},
    "recurrent dropout": {"recurrent_dropout": 0.3},
    "weight dropout": {"weight_dropout": 0.3},
    "dropout": {"dropout": 0.3},
    "zoneout": {"zoneout": 0.3},
    "layer norm": {"layer_norm": True},
    "residual": {"skip": "residual"},
    "highway": {"skip": "highway"},
    "reference": {"backend": "reference"},
}
LAYERS = [("LSTM", name) for name in OPTIONS] + [("GRU", name) for name in OPTIONS] + [("RNN", "plain")]


def batch(*shape, sizes=(3, 7, 1, 3), high=None):
    torch.manual_seed(1)
    draw = (lambda n: torch.randint(high, (n,))) if high else (lambda n: torch.randn(n, *shape))
    made = packed.pack([draw(n) for n in sizes])
    return made if high else made._replace(data=made.data.requires_grad_())


def layer(name, options):
    torch.manual_seed(0)
    backend = options.get("backend")
    rest = {key: value for key, value in options.items() if key != "backend"}
    made = getattr(seqkit.nn, name)(5, 6, **({"num_layers": 2, "bidirectional": True} | rest))
    made.backend = backend
    return made


def run(module, values, *state):
    output, final = module(values, *state)
    return output, final


@pytest.mark.parametrize(("name", "option"), LAYERS)
def test_recurrent_layers(name, option):
    assert assert_same_on_device(run, layer(name, OPTIONS[option]), batch(5), rtol=1e-3) == []


def test_other_recurrent_flags():
    relu = layer("RNN", {"nonlinearity": "relu"})
    projected = layer("LSTM", {"proj_size": 3})
    cell = layer("LSTM", {"cell_zoneout": 0.3})
    for module in (relu, projected, cell, cell.eval()):
        assert assert_same_on_device(run, module, batch(5), rtol=1e-3) == []
    state = tuple(torch.randn(4, 4, 6, requires_grad=True) for _ in "hc")
    assert assert_same_on_device(run, layer("LSTM", {}), batch(5), state, rtol=1e-3) == []


def test_compiled_code_never_gets_memory_of_the_device():
    assert choose(torch.device("strict"), torch.float32) == "closed_form"
    module = layer("LSTM", {"backend": "native"}).to("strict")
    with pytest.raises(ValueError, match="backend 'native' is for float32 on a CPU"):
        module(batch(5).to("strict"))


MODULES = {
    "embedding": (partial(seqkit.nn.Embedding, 9, 4, dropout=0.2), {"high": 9}),
    "projection": (partial(seqkit.nn.Projection, 5, 4, dropout=0.2), {}),
    "dropout": (partial(seqkit.nn.Dropout, 0.3), {}),
    "locked dropout": (partial(seqkit.nn.LockedDropout, 0.3), {}),
    "mean": (partial(seqkit.nn.MeanPool, 5), {}),
    "max": (partial(seqkit.nn.MaxPool, 5), {}),
    "attention": (partial(seqkit.nn.AttentionPool, 5), {}),
    "downsample": (partial(seqkit.nn.Downsample, 5), {}),
    "upsample": (partial(seqkit.nn.Upsample, 5, output_size=4), {}),
    "character LSTM": (partial(seqkit.nn.CharacterLSTM, 9, 4, 3), {"high": 9}),
    "character CNN": (partial(seqkit.nn.CharacterCNN, 9, 4, 3), {"high": 9}),
}


@pytest.mark.parametrize("name", MODULES)
def test_other_layers(name):
    make, values = MODULES[name]
    torch.manual_seed(0)
    assert assert_same_on_device(lambda module, x: module(x), make(), batch(5, **values), rtol=1e-3) == []


def test_last_pool_and_embedding_dropout():
    pool = seqkit.nn.LastPool(12)
    state = torch.randn(2, 4, 6, requires_grad=True)
    assert assert_same_on_device(lambda module, x, h: module(x, h), pool, batch(12), state) == []
    drop, ids = seqkit.nn.EmbeddingDropout(9, 0.3), batch(high=9)
    assert assert_same_on_device(lambda module, x, ids: module(x, ids), drop, batch(5), ids) == []


@pytest.mark.parametrize("names", [["a", "b", "c"], ["O", "B-X", "I-X", "B-Y", "I-Y"]])
def test_crf(names):
    torch.manual_seed(0)
    crf = seqkit.nn.CRF(len(names))
    if "O" in names:
        crf.restrict(allowed_transitions(names, "BIO"))
    scores = batch(len(names))
    tags = scores._replace(data=torch.zeros(len(scores.data), dtype=torch.long))
    tags.data[::3] = -100
    sorted_scores = packed.pack(packed.unpack(scores), enforce_sorted=False)
    assert all(w.kind == "read" for w in assert_same_on_device(lambda m, s, t: m(s, t), crf, sorted_scores, tags))
    for method in (crf.decode, crf.marginals):
        name = method.__name__
        assert_same_on_device(lambda m, s, name=name: getattr(m, name)(s), crf, scores)
    assert_same_on_device(lambda m, s: m.n_best(s, 2), crf, scores)


@pytest.mark.parametrize("tied", [False, True])
def test_softmax(tied):
    torch.manual_seed(0)
    softmax = seqkit.nn.Softmax(6, 9)
    if tied:
        softmax.tie(torch.nn.Parameter(torch.randn(9, 6)))
    features, classes = torch.randn(7, 6, requires_grad=True), torch.randint(9, (7,))
    assert assert_same_on_device(lambda m, x, c: m.nll(x, c), softmax, features, classes) == []
    adaptive = seqkit.nn.AdaptiveSoftmax(6, 9, cutoffs=[3, 6], div_value=2.0)
    assert_same_on_device(lambda m, x, c: (m.nll(x, c), m.log_probs(x)), adaptive, features, classes)
