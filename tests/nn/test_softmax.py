from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqkit.nn import AdaptiveSoftmax, Softmax


def test_softmax_equals_torchs():
    layer, features, classes = Softmax(5, 7), torch.randn(9, 5), torch.arange(9) % 7
    logits = layer.linear(features)
    torch.testing.assert_close(layer.nll(features, classes), F.cross_entropy(logits, classes, reduction="none"))
    torch.testing.assert_close(layer.log_probs(features), logits.log_softmax(-1))


def test_adaptive_softmax_is_a_distribution_and_its_nll_agrees():
    layer, features, classes = AdaptiveSoftmax(16, 30, cutoffs=[5, 12]), torch.randn(60, 16), torch.arange(60) % 30
    log_probs = layer.log_probs(features)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(60))
    torch.testing.assert_close(layer.nll(features, classes), -log_probs.gather(1, classes[:, None]).squeeze(1))
    torch_probs = layer.layer.log_prob(features)
    torch.testing.assert_close(log_probs, torch_probs[:, [*range(1, 30), 0]])  # the last class is the most frequent


def test_adaptive_softmax_equals_torchs():
    """Values and gradients; the last class is torch's first."""
    layer = AdaptiveSoftmax(16, 30, cutoffs=[5, 12, 29], div_value=2)
    features, classes = torch.randn(60, 16), torch.arange(60) % 30
    arguments = [features.requires_grad_(), *layer.parameters()]
    found = layer.nll(features, classes)
    expected = -layer.layer(features, (classes + 1) % 30).output
    torch.testing.assert_close(found, expected)
    weights = torch.rand(60)
    gradients = (torch.autograd.grad((nll * weights).sum(), arguments) for nll in (found, expected))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [Softmax, partial(AdaptiveSoftmax, cutoffs=[5, 12])])
def test_log_probabilities_of_half_precision_are_full(kind, dtype, autocast):
    """Only the scores are rounded: the log-probabilities are those of the rounded scores, which sum to 1."""
    layer, features, classes = kind(16, 30), torch.randn(60, 16), torch.arange(60) % 30
    if not autocast:
        layer, features = layer.to(dtype), features.to(dtype)
    with torch.autocast("cpu", dtype, enabled=autocast):
        nll, log_probs = layer.nll(features, classes), layer.log_probs(features)
    assert nll.dtype == log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(60))
    torch.testing.assert_close(nll, -log_probs.gather(1, classes[:, None]).squeeze(1))
    nll.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_clusters_without_a_class_in_the_batch_get_a_gradient():
    layer, features = AdaptiveSoftmax(16, 30, cutoffs=[5, 12]), torch.randn(6, 16)
    layer.nll(features, torch.zeros(6, dtype=torch.long)).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_tied_weights():
    weight = nn.Parameter(torch.randn(7, 5))
    layer = Softmax(5, 7)
    layer.tie(weight)
    assert layer.linear.weight is weight
    with pytest.raises(ValueError, match="the embedding has 4 features, but the encoder's output has 5"):
        layer.tie(nn.Parameter(torch.randn(7, 4)))
    with pytest.raises(ValueError, match="AdaptiveSoftmax cannot share the embedding's weights"):
        AdaptiveSoftmax(8, 30, cutoffs=[5]).tie(weight)


@pytest.mark.parametrize("cutoffs", [[], [5, 5], [0, 5], [5, 30], [6, 5]])
def test_cutoffs_out_of_range_raise_an_error(cutoffs):
    with pytest.raises(
        ValueError, match=r"for 30 classes; they ascend between 1 and 29; for a small vocabulary use"
    ):
        AdaptiveSoftmax(8, 30, cutoffs=cutoffs)


def test_too_few_features_raise_an_error():
    with pytest.raises(
        ValueError, match="8 features, divided 2 times by div_value=4, leave none for the rarest classes"
    ):
        AdaptiveSoftmax(8, 30, cutoffs=[5, 12])
