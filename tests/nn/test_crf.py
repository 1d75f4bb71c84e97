import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from seqkit import packed
from seqkit.kernels import crf as kernels
from seqkit.labels import Allowed, allowed_transitions
from seqkit.nn import CRF

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=5)


@pytest.fixture(params=["compiled", "torch"])
def sweeps(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(kernels, "load_library", lambda name: None)
    elif kernels.load_library("sweeps") is None:
        pytest.skip("no compiled code here")


def make(lengths, tags, seed=0, allowed=None, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    crf = CRF(tags).double()
    if allowed is not None:
        crf.restrict(allowed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    each = [scale * torch.randn(n, tags, generator=generator, dtype=torch.float64) for n in lengths]
    return crf, each


def log_partition_loop(value, start, transitions, end, layout):
    """Sum over all paths (B,) by logsumexp under autograd."""
    start, transitions, end = (scores.clamp(min=-1e30) for scores in (start, transitions, end))
    state, final = start, []
    for t, x in enumerate(torch.split(value, layout.sizes)):
        if t:
            final.append(state[len(x) :])
            state = (state[: len(x), :, None] + transitions).logsumexp(1)
        state = state + x
    return (torch.cat([state, *reversed(final)]) + end).logsumexp(1)


def paths_of(crf, scores):
    """Enumerate all sequences of tags and sum their scores."""
    paths = list(itertools.product(range(crf.num_tags), repeat=len(scores)))
    totals = []
    for path in paths:
        total = crf.start[path[0]] + crf.end[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
        fine = crf.allowed_start[path[0]] and crf.allowed_end[path[-1]]
        for a, b in itertools.pairwise(path):
            total = total + crf.transitions[a, b]
            fine = fine and crf.allowed_transitions[a, b]
        totals.append(total if fine else total - torch.inf)
    return paths, torch.stack(totals)


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.integers(0, 1000), st.booleans())
def test_unknown_tags_are_summed_over(lengths, seed, constrained):
    crf, each = make(lengths, 3, seed, BIO if constrained else None)
    generator = torch.Generator().manual_seed(seed)
    known, expected = [], []
    for scores in each:
        paths, totals = paths_of(crf, scores)
        path = torch.tensor(paths[int(totals.argmax())])  # the best one is allowed under any constraints
        hidden = torch.rand(len(path), generator=generator) < 0.5
        known.append(path.masked_fill(hidden, -100))
        fits = torch.tensor(
            [all(a in (b, -100) for a, b in zip(known[-1].tolist(), p, strict=True)) for p in paths]
        )
        expected.append(totals[fits].logsumexp(0) - totals.logsumexp(0))
    values = [scores.clone().requires_grad_() for scores in each]
    found = crf(packed.pack(values), packed.pack(known))
    torch.testing.assert_close(found, torch.stack(expected).to(found.dtype))
    found.sum().backward()
    mine = torch.cat([scores.grad for scores in values])
    again = [scores.clone().requires_grad_() for scores in each]
    for scores, tags in zip(again, known, strict=True):
        paths, totals = paths_of(crf, scores)
        fits = torch.tensor([all(a in (b, -100) for a, b in zip(tags.tolist(), p, strict=True)) for p in paths])
        (totals[fits].logsumexp(0) - totals.logsumexp(0)).backward()
    torch.testing.assert_close(mine, torch.cat([scores.grad for scores in again]), atol=1e-6, rtol=1e-5)


BIO = Allowed(  # O, B, I
    torch.tensor([True, True, False]),
    torch.tensor([[True, True, False], [True, True, True], [True, True, True]]),
    torch.ones(3, dtype=torch.bool),
)


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99), bound=st.booleans(), scale=st.sampled_from([1.0, 500.0]))
def check_against_enumeration(lengths, seed, bound, scale):
    crf, each = make(lengths, 3, seed, BIO if bound else None, scale)
    scores = packed.pack(each)
    truth = [paths_of(crf, x) for x in each]
    gold = []
    for i, (paths, totals) in enumerate(truth):
        possible = [k for k in range(len(paths)) if totals[k].isfinite()]
        gold.append(possible[(seed + i) % len(possible)])
    tags = packed.pack([torch.tensor(paths[k]) for (paths, _), k in zip(truth, gold, strict=True)])
    expected = torch.stack([t[k] - t.logsumexp(0) for (_, t), k in zip(truth, gold, strict=True)])
    torch.testing.assert_close(crf(scores, tags), expected)

    marginals = packed.unpack(crf.marginals(scores))
    decoded = packed.unpack(crf.decode(scores))
    count = 4
    best, probabilities = crf.n_best(scores, count)
    for i, (paths, totals) in enumerate(truth):
        weights = totals.softmax(0)
        hits = torch.nn.functional.one_hot(torch.tensor(paths), 3).to(weights)  # (paths, T, C)
        torch.testing.assert_close(marginals[i], torch.einsum("p,ptc->tc", weights, hits), atol=1e-9, rtol=1e-7)
        assert tuple(decoded[i].tolist()) == paths[int(totals.argmax())]
        first = totals.log_softmax(0).sort(descending=True)
        some = min(count, int(totals.isfinite().sum()))
        torch.testing.assert_close(probabilities[i, :some], first.values[:some])
        assert bool((probabilities[i, some:] == -torch.inf).all())
        found = [tuple(column) for column in packed.unpack(best)[i].T.tolist()[:some]]
        assert found == [paths[k] for k in first.indices[:some].tolist()]


def test_likelihood_marginals_and_decoding_equal_enumeration(sweeps):
    check_against_enumeration()


@pytest.mark.parametrize("bound", [False, True])
def test_gradients(sweeps, bound):
    crf, each = make([3, 1, 4], 3, 1, BIO if bound else None)
    tags = packed.pack([torch.tensor(t) for t in ([1, 2, 0], [0], [1, 1, 2, 2])])
    scores = packed.pack(each)
    names = dict(crf.named_parameters())

    def likelihood(values, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(crf, given, (scores._replace(data=values), tags))

    inputs = [scores.data.requires_grad_(), *(p.detach().clone().requires_grad_() for p in names.values())]
    assert gradcheck(likelihood, inputs)


def test_logsumexp_and_closed_form_have_the_same_gradients(sweeps):
    crf, each = make([6, 4, 4, 1], 5, 2)
    scores = packed.pack(each)
    sums = crf._log_partition(scores.data, packed.PackedLayout.of(scores))
    assert type(sums.grad_fn).__name__.startswith("_LogPartition")
    fast = torch.autograd.grad(sums.square().sum(), list(crf.parameters()))
    slow_sums = log_partition_loop(scores.data, *crf._restricted(torch.float64), packed.PackedLayout.of(scores))
    slow = torch.autograd.grad(slow_sums.square().sum(), list(crf.parameters()))
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("allowed", [None, BIO])
@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_log_space_has_the_gradients_of_logsumexp(allowed, scale):
    crf, each = make([6, 4, 4, 1], 3, 2, allowed, scale)
    scores, layout = packed.pack(each), packed.PackedLayout.of(packed.pack(each))
    value = scores.data.requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    found, expected = (
        torch.autograd.grad(sums @ weights, [value, *crf.parameters()])
        for sums in (
            crf._log_partition_in_log_space(value, layout),
            log_partition_loop(value, *crf._restricted(torch.float64), layout),
        )
    )
    torch.testing.assert_close(found, expected)


def test_the_likelihood_on_an_accelerator_equals_that_on_a_cpu():
    crf, each = make([6, 4, 4, 1], 3, 2, BIO)
    scores = packed.pack(each)
    tags = packed.pack([torch.tensor(t) for t in ([0, 1, 2, -100, 2, 0], [0] * 4, [-100] * 4, [1])])
    value = scores.data.requires_grad_()
    layout, unknown = packed.PackedLayout.of(scores), tags.data == -100
    likelihoods = [crf(scores, tags), crf._log_likelihood_in_log_space(value, tags.data, unknown, layout)]
    likelihoods[1] = crf._original_order(scores, likelihoods[1])
    torch.testing.assert_close(*likelihoods)
    gradients = [torch.autograd.grad(each.sum(), [value, *crf.parameters()]) for each in likelihoods]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("ids", [[0, 2, 0], [2, 0, 0], [0, 3, 0], [0, -1, 0]])
def test_tags_that_are_not_allowed_are_refused_on_an_accelerator(ids):
    crf, (scores,) = make([3], 3, allowed=BIO)
    layout, tags = packed.PackedLayout.from_lengths(torch.tensor([3])), torch.tensor(ids)
    with pytest.raises(RuntimeError, match="CRF: tags that are out of range or not allowed"):
        crf._log_likelihood_in_log_space(scores, tags, tags == -100, layout)
    with pytest.raises(RuntimeError, match=r"CRF: .* or scores that are not finite"):
        crf._log_likelihood_in_log_space(scores * float("nan"), torch.zeros_like(tags), tags == -100, layout)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_summed_in_high_precision(dtype):
    crf, each = make([40, 7], 5, 3)
    crf.float()
    scores = packed.pack([(100 * x).to(dtype) for x in each])
    tags = packed.pack([torch.zeros(40, dtype=torch.long), torch.zeros(7, dtype=torch.long)])
    half = scores._replace(data=scores.data.clone().requires_grad_())
    value = crf(half, tags)
    torch.testing.assert_close(value, crf(scores._replace(data=scores.data.float()), tags))
    value.sum().backward()
    assert half.data.grad.dtype == dtype
    assert bool(half.data.grad.isfinite().all())


def test_second_derivatives_raise_an_error():
    crf, each = make([3], 3)
    scores = packed.pack(each)
    total = crf(scores._replace(data=scores.data.requires_grad_()), packed.pack([torch.tensor([0, 1, 2])])).sum()
    with pytest.raises(RuntimeError, match="not differentiable again; leave out create_graph"):
        torch.autograd.grad(total, scores.data, create_graph=True)


def test_errors_name_the_values_and_the_remedy():
    crf, each = make([3, 2], 3, allowed=BIO)
    scores = packed.pack(each)

    def tags(*each):
        return packed.pack([torch.tensor(t) for t in each])

    with pytest.raises(ValueError, match=r"5 tokens in 2 sequences but tags of 4 tokens.*same lengths"):
        crf(scores, tags([0, 0], [0, 0]))
    with pytest.raises(
        ValueError, match=r"tags from -1 to 0, but num_tags is 3; .*or ignore_index=-100 if it is unknown"
    ):
        crf(scores, tags([0, -1, 0], [0, 0]))
    with pytest.raises(ValueError, match="a sequence of tags that is not allowed"):
        crf(scores, tags([0, 2, 0], [0, 0]))
    with pytest.raises(ValueError, match=r"scores \(5, 4\) for 3 tags; give packed data \(N, 3\)"):
        crf.decode(packed.pack([torch.zeros(3, 4), torch.zeros(2, 4)]))
    with pytest.raises(ValueError, match=r"allowed.start has shape \(3,\) for 4 tags; give \(4,\)"):
        CRF(4).restrict(BIO)


def test_marginals_in_inference_mode(sweeps):
    crf, each = make([3, 1, 4], 3, 4)
    expected = crf.marginals(packed.pack(each))
    with torch.inference_mode():
        scores = packed.pack([x + 0 for x in each])
        torch.testing.assert_close(crf.marginals(scores).data, expected.data)


# Separate chains, a left-to-right chain, and a tag without an end: there, states of low probability decide.
APART = Allowed(torch.ones(2) > 0, torch.eye(2) > 0, torch.tensor([False, True]))
RIGHT = Allowed(torch.eye(4)[0] > 0, torch.eye(4) + torch.eye(4).roll(1, 1).triu() > 0, torch.eye(4)[3] > 0)
TRAP = Allowed(
    torch.ones(3) > 0,
    torch.tensor([[True, True, True], [True, True, True], [False, False, True]]),
    torch.tensor([True, True, False]),
)


@pytest.mark.parametrize("allowed", [APART, RIGHT, TRAP], ids=["apart", "right", "trap"])
def test_constraints_against_high_scores(sweeps, allowed):
    tags = len(allowed.start)
    crf, each = make([4, 6, 5], tags, 5, allowed)
    each = [x + 150 * torch.eye(tags, dtype=x.dtype)[2 if allowed is TRAP else 0] for x in each]
    truth = [paths_of(crf, x) for x in each]
    best = [int(totals.argmax()) for _, totals in truth]
    gold = packed.pack([torch.tensor(paths[k]) for (paths, _), k in zip(truth, best, strict=True)])
    expected = torch.stack([totals.log_softmax(0).max() for _, totals in truth])
    torch.testing.assert_close(crf(packed.pack(each), gold), expected)
    marginals = packed.unpack(crf.marginals(packed.pack(each)))
    for found, (paths, totals) in zip(marginals, truth, strict=True):
        hits = torch.nn.functional.one_hot(torch.tensor(paths), tags).to(totals)
        torch.testing.assert_close(found, torch.einsum("p,ptc->tc", totals.softmax(0), hits), atol=1e-9, rtol=1e-7)


def test_long_sequences_against_high_scores(sweeps):
    crf = CRF(2).restrict(APART)
    scores = packed.pack([torch.tensor([20.0, 0.0]).expand(100, 2)])
    likelihood = crf(scores, packed.pack([torch.ones(100, dtype=torch.long)]))
    torch.testing.assert_close(likelihood, torch.zeros(1))  # the only path


@pytest.mark.parametrize("scale", [1.0, 9.0, 40.0, 150.0])
def test_wide_transitions_under_a_tag_scheme(sweeps, scale):
    allowed = allowed_transitions(["O", *(f"{p}-{t}" for t in "XY" for p in "BIES")], "BIOES")
    crf, each = make([30, 12, 1], 9, 6, allowed, scale)
    with torch.no_grad():
        crf.transitions.mul_(scale)
    scores = packed.pack(each)
    expected = log_partition_loop(scores.data, *crf._restricted(torch.float64), packed.PackedLayout.of(scores))
    torch.testing.assert_close(crf._log_partition(scores.data, packed.PackedLayout.of(scores)), expected)


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_tag_schemes_use_the_closed_form(scheme):
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    names = ["O", *(f"{p}-{t}" for t in "XY" for p in prefixes), f"{'E' if scheme == 'BIOES' else 'I'}-Z"]
    crf, each = make(
        [30, 12], len(names), 7, allowed_transitions(names, scheme), 5.0
    )  # no span of type Z can begin
    sums = crf._log_partition(packed.pack(each).data, packed.PackedLayout.of(packed.pack(each)))
    assert type(sums.grad_fn).__name__.startswith("_LogPartition")


def test_sequences_in_another_order_raise_an_error():
    crf = CRF(3)
    scores = packed.pack([torch.zeros(2, 3), torch.zeros(3, 3)])
    with pytest.raises(ValueError, match=r"in different orders \(sorted_indices\); pack both"):
        crf(scores, packed.pack([torch.zeros(3).long(), torch.zeros(2).long()]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_parameters_in_half_precision_give_a_likelihood_in_float32(dtype):
    crf, each = make([60, 7], 5, 8, scale=30.0)
    scores = packed.pack([x.to(dtype) for x in each])
    tags = packed.pack([torch.zeros(60, dtype=torch.long), torch.zeros(7, dtype=torch.long)])
    half = crf.to(dtype)(scores, tags)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, crf.float()(scores, tags))


class Waits(TorchDispatchMode):
    """Count the calls for which the host would wait for an accelerator."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.equal,
        )
        return func(*args, **(kwargs or {}))


def test_number_of_host_synchronisations_does_not_depend_on_the_length(monkeypatch):
    monkeypatch.setattr(kernels, "load_library", lambda name: None)
    counts = []
    for length in (3, 30):
        crf, each = make([length, 2], 4, 9)
        scores = packed.pack(each)
        tags = packed.pack([torch.zeros(length, dtype=torch.long), torch.zeros(2, dtype=torch.long)])
        with Waits() as waits:
            crf(scores._replace(data=scores.data.requires_grad_()), tags).sum().backward()
            crf.decode(scores)
            crf.n_best(scores, 3)
            crf.marginals(scores)
        counts.append(waits.count)
    assert 0 < counts[0] == counts[1]
