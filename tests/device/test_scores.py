"""Losses, metrics and decoding on the strict device."""

import pytest
import torch

from seqkit import decoding, labels, losses, metrics, packed
from tests.device.cases import assert_same_on_device, moved

SIZES = (3, 7, 1, 3)
TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]


def drawn(make):
    torch.manual_seed(1)
    made = packed.pack([make(n) for n in SIZES])
    return made._replace(data=made.data.requires_grad_()) if made.data.is_floating_point() else made


def classes(high=5):
    return drawn(lambda n: torch.randint(high, (n,)))


def values(*shape):
    return drawn(lambda n: torch.randn(n, *shape))


def sequences():
    torch.manual_seed(2)
    rows = [torch.cat([torch.randint(3, (n,)), torch.tensor([labels.END])]) for n in (1, 2, 0, 2)]
    return packed.pack(rows)


LOSSES = {
    "cross-entropy": (losses.CrossEntropy(), values(5), classes()),
    "weighted": (losses.CrossEntropy([1.0, 2.0, 0.5, 1.0, 3.0], label_smoothing=0.1), values(5), classes()),
    "binary": (losses.BinaryCrossEntropy(), values(5), values(5)._replace(data=(values(5).data > 0).long())),
    "MSE": (losses.MSE(), values(), values()),
    "L1": (losses.L1(), values(2), values(2)),
    "Huber": (losses.Huber(0.5), values(), values()),
    "quantiles": (losses.Quantile(), values(3), values()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    recorded = assert_same_on_device(_total, *LOSSES[name])
    assert recorded == []


def _total(loss, output, target):
    return loss.total(output, target)


def test_ctc():
    recorded = assert_same_on_device(
        lambda *given: given[0].total(*given[1:]), losses.CTC(), values(5), sequences()
    )
    assert len(recorded) <= 3  # reads labels, and the permutations that a batch does not have


METRICS = {
    "classes": (metrics.classification_metrics(list("abcde"), per_class=True), classes(), classes()),
    "spans": (metrics.SpanF1(TAGS, per_type=True), classes(), classes()),
    "loss": (metrics.MeanLoss(), torch.tensor(3.0), torch.tensor(4)),
    "regression": (metrics.regression_metrics(), values(), values()),
    "PHM": (metrics.PHMScore(), values(), values()),
    "errors": (metrics.ErrorRates(), sequences(), sequences()),
    "language": (metrics.language_metrics(), torch.tensor(3.0), torch.tensor(4)),
    "class report": (metrics.ClassReport(list("abcde")), classes(), classes()),
    "span report": (metrics.SpanReport(TAGS), classes(), classes()),
    "edits": (metrics.EditReport(list("abc")), sequences(), sequences()),
    "values": (metrics.ValueReport(["all"]), [values().data], [values().data]),
}
PACKED = ("spans", "errors", "edits", "span report")


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name):
    metric, *arguments = METRICS[name]
    if name not in PACKED:
        arguments = [each.data.detach() if isinstance(each, tuple) else each for each in arguments]
    results = []
    for there in (False, True):
        own = metric.clone().to("strict") if there else metric.clone()
        given = moved(arguments) if there else arguments
        if name == "values":
            given = [(given[0][0].detach(), given[1][0].detach())]
        own.update(*given)
        own.update(*given)
        results.append(own.compute())
    assert str(_plain(results[1])) == str(_plain(results[0]))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, torch.Tensor):
        return [round(each, 4) for each in value.double().flatten().tolist()]
    return value


def test_tags_that_a_scheme_forbids():
    def find(tags, allowed):
        return labels.forbidden(tags, labels.Allowed(*allowed))

    assert assert_same_on_device(find, classes(high=6), list(labels.allowed_transitions(TAGS, "BIO"))) == []


@pytest.mark.parametrize("width", [1, 3])
def test_decoding(width):
    def decode(output):
        found = decoding.best_path(output) if width == 1 else decoding.beam_search(output, width).transcripts[0]
        assert found.data.device.type == "cpu"
        return packed.unpack(found)

    scores = values(5)
    assert_same_on_device(decode, scores._replace(data=scores.data.detach()))


def test_sampling():
    logits = torch.randn(4, 9)
    options = {"temperature": 0.7, "top_k": 5, "top_p": 0.9}
    torch.manual_seed(0)
    there = logits.to("strict")
    found = [
        decoding.sample(each, torch.Generator(each.device).manual_seed(0), **options) for each in (logits, there)
    ]
    assert torch.equal(found[0], found[1].cpu())
