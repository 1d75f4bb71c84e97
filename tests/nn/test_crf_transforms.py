"""The CRF under `torch.func` and in batched backwards."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from seqkit.nn import CRF


def total(crf, scores, tags):
    return lambda data: crf(scores._replace(data=data), tags).sum()


def inputs():
    torch.manual_seed(0)
    scores = pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in (4, 2)])
    return CRF(3).double(), scores, pack_sequence([torch.randint(3, (n,)) for n in (4, 2)])


@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")  # from torch.func.jvp
def test_torch_func():
    crf, scores, tags = inputs()
    function, x = total(crf, scores, tags), scores.data.clone().requires_grad_()
    (expected,) = torch.autograd.grad(function(x), x)
    torch.testing.assert_close(torch.func.grad(function)(scores.data), expected)
    slope = torch.func.jvp(function, (scores.data,), (expected,))[1]
    torch.testing.assert_close(slope, expected.square().sum())
    hessian = torch.func.hessian(function)(scores.data)
    torch.testing.assert_close(hessian.sum((-1, -2)), torch.zeros_like(expected), atol=1e-9, rtol=0)


@pytest.mark.parametrize("scale", [1, 20_000])  # the larger one needs sums of logarithms
def test_batched_backward(scale):
    crf, scores, tags = inputs()
    crf.transitions.data *= scale
    tags.data[1] = crf.ignore_index if scale > 1 else tags.data[1]
    leaves = [scores.data.requires_grad_(), *crf.parameters()]
    output = crf(scores, tags)
    batched = torch.autograd.grad(output, leaves, torch.eye(2).double(), is_grads_batched=True, retain_graph=True)
    for b in range(2):
        expected = torch.autograd.grad(output[b], leaves, retain_graph=True)
        torch.testing.assert_close([g[b] for g in batched], list(expected))
