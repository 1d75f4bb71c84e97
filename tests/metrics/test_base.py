"""States of metrics keep their type and lose nothing over many batches."""

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.regression import MeanSquaredError

from seqkit import packed
from seqkit.metrics import (
    ClassReport,
    EditReport,
    ErrorRates,
    LabelReport,
    MeanLoss,
    MetricGroup,
    PHMScore,
    PositionReport,
    SpanF1,
    SpanReport,
    TokenReport,
    ValueReport,
    classification_metrics,
    language_metrics,
    multilabel_metrics,
    regression_metrics,
)
from seqkit.metrics.base import SumMetric

TAGS = ["O", "B-X", "I-X"]
METRICS = {
    "loss": MeanLoss,
    "phm": PHMScore,
    "errors": ErrorRates,
    "spans": partial(SpanF1, TAGS),
    "classes": partial(classification_metrics, TAGS, per_class=True),
    "labels": partial(multilabel_metrics, TAGS, per_class=True),
    "language": language_metrics,
    "values": regression_metrics,
    "class report": partial(ClassReport, TAGS),
    "label report": partial(LabelReport, TAGS),
    "span report": partial(SpanReport, TAGS),
    "edit report": partial(EditReport, TAGS),
    "token report": partial(TokenReport, 3, list),
    "position report": PositionReport,
    "value report": ValueReport,
    "of another library": lambda: MetricCollection([MeanMetric(), MeanSquaredError()]),
}
BATCHES = 1_500


def state_types(module):
    """The type of each state and default of all metrics in a module."""
    found = {}
    for name, metric in module.named_modules():
        for state, default in getattr(metric, "_defaults", {}).items():
            values = getattr(metric, state)
            found[name, state] = [each.dtype for each in (values if isinstance(values, list) else [values])]
            if isinstance(default, torch.Tensor):
                found[name, state].append(default.dtype)
    return found


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", METRICS)
def test_states_keep_their_type_in_a_model_that_is_cast(kind, cast):
    model = nn.Sequential(nn.Linear(1, 1), MetricGroup({"metric": METRICS[kind]()}))
    before = state_types(model)
    assert before
    model.to(dtype=cast)
    assert model[0].weight.dtype == cast
    assert state_types(model) == before
    for metric in model[1].modules():
        if hasattr(metric, "reset"):
            metric.reset()
    assert state_types(model) == before


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["loss", "phm", "token report", "value report"])
def test_our_metrics_keep_their_type_in_any_module(kind, cast):
    class Other(LightningModule):
        def __init__(self):
            super().__init__()
            self.metric = METRICS[kind]()

    model = Other()
    before = state_types(model)
    assert state_types(model.to(dtype=cast)) == before


@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16, torch.float64])
def test_sums_over_many_batches(given, cast):
    """Each batch has 1,000 units with a loss of 0.688, and the first one is a million times larger."""
    model = MetricGroup({"loss": MeanLoss(), "language": language_metrics(), "errors": regression_metrics()})
    model.to(dtype=cast)
    first, units = 1_000_000, torch.tensor(1_000)
    for batch in range(BATCHES):
        factor = first if not batch else 1
        total = torch.tensor(688.0, dtype=given) * factor
        model["loss"].update(total, units * factor)
        model["language"].update(total, units * factor)
        model["errors"].update(torch.tensor([0.75], dtype=given), torch.tensor([0.25], dtype=given))
    expected = float(torch.tensor(688.0, dtype=given) * first + torch.tensor(688.0) * (BATCHES - 1))
    expected /= 1_000 * (first + BATCHES - 1)
    assert float(model["loss"].compute()) == pytest.approx(expected, rel=1e-6)
    assert float(model["language"].compute()["perplexity"]) == pytest.approx(math.exp(expected), rel=1e-6)
    assert float(model["language"].compute()["bits_per_token"]) == pytest.approx(expected / math.log(2), rel=1e-6)
    assert model["errors"].compute() == {"rmse": 0.5, "mae": 0.5}


class Sum(SumMetric):
    def __init__(self):
        super().__init__()
        self.add_sum("total", 2)

    def update(self, values):
        self.increase("total", values)

    def compute(self):
        return self.sum_of("total")


def test_a_sum_equals_that_in_double_precision():
    """A plain float32 sum loses all small values that are added to the large one."""
    torch.manual_seed(0)
    values = torch.rand(BATCHES, 2)
    values[0] = 1e9
    metric, plain = Sum(), torch.zeros(2)
    for value in values:
        metric.update(value)
        plain += value
    expected = values.double().sum(0)
    torch.testing.assert_close(metric.compute().double(), expected, rtol=6e-8, atol=0)
    assert ((plain.double() - expected).abs() > 500).all()
    forwarded = Sum()
    for value in values:  # the other way of torchmetrics: a metric of one batch, merged into the states
        torch.testing.assert_close(forwarded(value), value)
    torch.testing.assert_close(forwarded.compute(), metric.compute(), rtol=0, atol=0)


def test_ranks_add_up_sums_and_errors():
    metric = Sum()
    metric.update(torch.tensor([1e8, 1.0]))
    metric.update(torch.tensor([1.0, 2.0]))  # lost in the sum, kept as its error
    metric.dist_sync_fn, metric.distributed_available_fn = lambda state, **_: [state] * 16, lambda: True
    torch.testing.assert_close(metric.compute(), torch.tensor([16e8 + 16, 48.0]), rtol=6e-8, atol=0)


def test_infinite_values_stay_infinite():
    metric = Sum()
    for value in (1.0, torch.inf, 2.0):
        metric.update(torch.tensor([value, 1.0]))
    assert metric.compute().tolist() == [torch.inf, 3.0]


def test_rates_of_counts_do_not_depend_on_the_default_type():
    """Lightning makes a half type the default within a step."""
    tags, other = packed.pack([torch.tensor([1, 0, 1, 1])]), packed.pack([torch.tensor([1, 0, 1, 2])])

    def scores():
        spans, errors = SpanF1(TAGS), ErrorRates()
        spans.update(tags, other)
        errors.update(tags, other)
        return spans.compute() | errors.compute()

    expected = scores()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = scores()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
