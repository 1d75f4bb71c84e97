"""Layers under `torch.func` and under every other kind of differentiation, compared with the plain loop."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.autograd import functional as autograd_functional
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint

import seqkit.nn
from seqkit import kernels
from seqkit.packed import PackedLayout

# torch compiles formulas of forward-mode differentiation with torch.jit.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")

LENGTHS = [3, 2, 1]
DTYPES = {"native": torch.float32, "closed_form": torch.float64}
BACKENDS = [b for b in DTYPES if b in kernels.available()]
NAMES = ["LSTM", "GRU", "RNN"]


def loop(function, in_dims=0):
    """`torch.vmap` as a loop."""

    def run(*arguments):
        dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(arguments)
        count = next(
            len(torch.utils._pytree.tree_leaves(a)[0]) for a, d in zip(arguments, dims, strict=True) if d == 0
        )
        results = [
            function(
                *(
                    a if d is None else tree_map(lambda t, i=i: t[i], a)
                    for a, d in zip(arguments, dims, strict=True)
                )
            )
            for i in range(count)
        ]
        return tree_map(lambda *each: torch.stack(each), *results)

    return run


def leaf(tensor):
    return tensor.detach().clone().requires_grad_()


def dual(f, x, p):
    with forward_ad.dual_level():
        q = {k: forward_ad.make_dual(v, torch.ones_like(v)) for k, v in p.items()}
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, torch.ones_like(x)), q)).tangent


def batched_gradients(f, x, p):
    x, p = leaf(x), {k: leaf(v) for k, v in p.items()}
    output = f(x, p)
    above = torch.stack([torch.full_like(output, i) for i in range(4)])
    return torch.autograd.grad(output, [x, *p.values()], above, is_grads_batched=True)


def penalty(f, x, p):
    """A gradient penalty; the input depends on a weight."""
    x, p = leaf(x), {k: leaf(v) for k, v in p.items()}
    inputs = x + p["weight_ih_l0"].sum()
    found = torch.autograd.grad(f(inputs, p).square().sum(), [x, *p.values()], create_graph=True)
    return [*found, *torch.autograd.grad(sum(g.square().sum() for g in found), [x, *p.values()])]


def retained(f, x, p):
    """Plain autograd around a transform, each backward several times."""
    x, p = leaf(x), {k: leaf(v) for k, v in p.items()}
    output, pull = vjp(lambda x: f(x, p), x)
    with torch.no_grad():
        first, again = pull(torch.ones_like(output)), pull(torch.ones_like(output))
    loss = output.square().sum()
    return [*first, *again, *torch.autograd.grad(loss, [x], retain_graph=True), *torch.autograd.grad(loss, [x])]


def checkpointed(f, x, p):
    x = leaf(x)
    return torch.autograd.grad(checkpoint(f, x, p, use_reentrant=False).square().sum(), x)


def loss(f):
    return lambda x, p: f(x, p).square().sum()


def several(x):
    return torch.stack([x, -x, 2 * x])


def models(p):
    return {k: torch.stack([v, v * 0.5]) for k, v in p.items()}


# (f, x, p, vmap) -> results, for the output f(x, p) of packed data x and weights p.
CASES = {
    "grad": lambda f, x, p, vmap: grad(loss(f), argnums=(0, 1))(x, p),
    "vjp": lambda f, x, p, vmap: vjp(f, x, p)[1](f(x, p)),
    "jacrev": lambda f, x, p, vmap: jacrev(f, argnums=(0, 1))(x, p),
    "jvp": lambda f, x, p, vmap: jvp(f, (x, p), (x, p)),
    "jacfwd": lambda f, x, p, vmap: jacfwd(f)(x, p),
    "hessian": lambda f, x, p, vmap: hessian(loss(f))(x, p),
    "hessian of weights": lambda f, x, p, vmap: jacrev(jacrev(loss(f), argnums=1))(x, p),
    "grad of grad": lambda f, x, p, vmap: grad(
        lambda x, p: sum(g.square().sum() for g in grad(loss(f), argnums=1)(x, p).values()), argnums=(0, 1)
    )(x, p),
    "grad of jvp": lambda f, x, p, vmap: grad(lambda x: jvp(lambda x: f(x, p), (x,), (x,))[1].sum())(x),
    "vmap": lambda f, x, p, vmap: vmap(f, in_dims=(0, None))(several(x), p),
    "ensemble": lambda f, x, p, vmap: vmap(f, in_dims=(None, 0))(x, models(p)),
    "gradients of an ensemble": lambda f, x, p, vmap: vmap(grad(loss(f), (0, 1)), (None, 0))(x, models(p)),
    "gradients per example": lambda f, x, p, vmap: vmap(grad(loss(f), (0, 1)), (0, None))(several(x), p),
    "gradients of inputs": lambda f, x, p, vmap: vmap(grad(loss(f)), (0, None))(several(x), p),
    "grad of vmap": lambda f, x, p, vmap: grad(
        lambda x, p: vmap(f, (0, None))(several(x), p).square().sum(), argnums=(0, 1)
    )(x, p),
    "grad of gradients": lambda f, x, p, vmap: grad(
        lambda x, p: vmap(grad(loss(f)), (0, None))(several(x), p).square().sum(), argnums=(0, 1)
    )(x, p),
    "is_grads_batched": lambda f, x, p, vmap: batched_gradients(f, x, p),
    "functional.jacobian": lambda f, x, p, vmap: autograd_functional.jacobian(lambda x: f(x, p), x, vectorize=True),
    "functional.hessian": lambda f, x, p, vmap: autograd_functional.hessian(
        lambda x: loss(f)(x, p), x, vectorize=True
    ),
    "forward_ad": lambda f, x, p, vmap: dual(f, x, p),
    "gradient penalty": lambda f, x, p, vmap: penalty(f, x, p),
    "retained graph": lambda f, x, p, vmap: retained(f, x, p),
    "checkpoint": lambda f, x, p, vmap: checkpointed(f, x, p),
}


def leaves(results):
    return [t.double() for t in torch.utils._pytree.tree_leaves(results)]


def assert_same(found, expected, dtype):
    for f, e in zip(leaves(found), leaves(expected), strict=True):
        torch.testing.assert_close(f, e, **({"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else FLOAT))


FLOAT = {"rtol": 1e-3, "atol": 2e-4}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_as_stock_on_each_sequence_alone(case, name, backend):
    torch.manual_seed(0)
    stock = getattr(nn, name)(2, 3, bidirectional=True, dtype=torch.float64)
    ours = getattr(seqkit.nn, name)(2, 3, bidirectional=True, dtype=DTYPES[backend])
    ours.backend = backend
    packed = pack_sequence([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS])
    weights = {k: v.detach() for k, v in stock.named_parameters()}
    layout = PackedLayout.of(packed)
    tokens = [(layout.ranks == b).nonzero()[:, 0] for b in range(len(LENGTHS))]
    order = torch.cat(tokens).argsort()

    def alone(x, p):
        return torch.cat([functional_call(stock, p, (x[rows],))[0] for rows in tokens])[order]

    def together(x, p):
        return functional_call(ours, p, (packed._replace(data=x),))[0].data

    run = CASES[case]
    x, p = tree_map(lambda t: t.to(DTYPES[backend]), (packed.data, weights))
    assert_same(run(together, x, p, torch.vmap), run(alone, packed.data, weights, loop), DTYPES[backend])


OPTIONS = [
    {"layer_norm": True, "num_layers": 2, "skip": "highway"},
    {"zoneout": 0.3},
    {"proj_size": 2},
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: next(iter(o)))
@pytest.mark.parametrize("case", ["grad", "hessian", "ensemble", "gradients per example", "gradients of inputs"])
def test_options_as_reference(case, options, backend):
    if backend == "native" and "proj_size" in options:
        pytest.skip("native has no projection")
    torch.manual_seed(0)
    module = seqkit.nn.LSTM(2, 3, **options, dtype=DTYPES[backend]).eval()
    packed = pack_sequence([torch.randn(n, 2, dtype=DTYPES[backend]) for n in LENGTHS])
    weights = {k: v.detach() for k, v in module.named_parameters()}

    def run(backend, vmap):
        module.backend = backend
        return CASES[case](
            lambda x, p: functional_call(module, p, (packed._replace(data=x),))[0].data, packed.data, weights, vmap
        )

    assert_same(run(backend, torch.vmap), run("reference", loop), DTYPES[backend])


def test_a_pack_first_used_in_a_transform_stays_usable():
    packed = pack_sequence([torch.randn(n, 2) for n in LENGTHS])
    gru = seqkit.nn.GRU(2, 3, bidirectional=True)

    def output(data):
        return gru(packed._replace(data=data))[0].data

    for transform in (grad(lambda x: output(x).sum()), lambda x: torch.vmap(output)(several(x)), jacrev(output)):
        packed = pack_sequence([torch.randn(n, 2) for n in LENGTHS])
        transform(packed.data)
        found = output(packed.data)
        packed = pack_sequence([torch.zeros(n, 2) for n in LENGTHS])._replace(data=packed.data)
        torch.testing.assert_close(found, output(packed.data))


def test_a_pack_made_in_a_transform():
    gru = seqkit.nn.GRU(2, 3)
    packed = pack_sequence([torch.randn(n, 2) for n in LENGTHS])

    def total(data):
        return gru(PackedSequence(data, torch.tensor([3, 2, 1])))[0].data.square().sum()

    x = leaf(packed.data)
    torch.testing.assert_close(grad(total)(packed.data), *torch.autograd.grad(total(x), x))


def test_vmap_over_batch_sizes_is_refused():
    with pytest.raises(ValueError, match=r"torch\.vmap over batch sizes; all copies must share one layout"):
        torch.vmap(lambda sizes: PackedLayout(sizes).ranks)(torch.tensor([[2, 1], [3, 1]]))


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    module = getattr(seqkit.nn, name)(2, 2, dtype=torch.float64)
    packed = pack_sequence([torch.randn(n, 2, dtype=torch.float64) for n in (2, 1)])
    names, weights = zip(*module.named_parameters(), strict=True)

    def output(data, *weights):
        return functional_call(module, dict(zip(names, weights, strict=True)), (packed._replace(data=data),))[
            0
        ].data

    inputs = [leaf(t) for t in (packed.data, *weights)]
    checks = {"check_batched_grad": True, "check_forward_ad": True}
    assert torch.autograd.gradcheck(output, inputs, **checks, check_batched_forward_grad=True)
    assert torch.autograd.gradgradcheck(output, inputs, check_batched_grad=True)
