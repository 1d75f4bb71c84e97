import functools
import math

import pytest
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import END
from seqkit.metrics import (
    ErrorRates,
    MeanLoss,
    PHMScore,
    classification_metrics,
    language_metrics,
    multilabel_metrics,
    regression_metrics,
)


def test_mean_loss_weighs_units_not_batches():
    metric = MeanLoss()
    metric.update(torch.tensor(10.0), torch.tensor(1))
    metric.update(torch.tensor(2.0), torch.tensor(5))
    assert metric.compute() == 2.0


def test_accuracy_is_per_unit_and_leaves_out_what_is_ignored():
    metrics = classification_metrics(["a", "b", "c"], per_class=True)
    metrics.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, -100]))
    values = metrics.compute()
    assert values["accuracy"] == torch.tensor(2 / 3)
    torch.testing.assert_close(values["f1_b"], torch.tensor(2 / 3))


def test_multilabel_names_its_labels():
    metrics = multilabel_metrics(["x", "y"], per_class=True)
    metrics.update(torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]]))
    values = metrics.compute()
    assert values["accuracy"] == 0.5
    assert values["f1_y"] == 1.0


def test_rmse_is_in_units_of_the_target():
    metrics = regression_metrics()
    metrics.update(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]))
    values = metrics.compute()
    torch.testing.assert_close(values["rmse"], torch.tensor(12.5).sqrt())
    torch.testing.assert_close(values["mae"], torch.tensor(3.5))


label_sequences = st.lists(st.integers(0, 2), max_size=5)


@given(
    st.lists(st.tuples(label_sequences, st.lists(label_sequences, min_size=1, max_size=3)), min_size=1, max_size=6)
)
def test_error_rates_are_against_the_nearest_reference(rows):
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))

    distance = functools.cache(distance)
    metric = ErrorRates()
    for some in (rows[:2], rows[2:]):  # two batches
        if some:
            found = packed.pack([torch.tensor([*said, END]) for said, _ in some])
            wanted = packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for _, row in some])
            metric.update(found, wanted)
    edits, labels, wrong = 0, 0, 0
    for said, references in rows:
        nearest = min(
            references, key=lambda one, said=said: distance(tuple(said), tuple(one))
        )  # the first of several
        edits += distance(tuple(said), tuple(nearest))
        labels += len(nearest)
        wrong += said not in references
    rates = metric.compute()
    assert float(rates["label_error_rate"]) == pytest.approx(edits / max(labels, 1))
    assert float(rates["sequence_error_rate"]) == pytest.approx(wrong / len(rows))


def test_perplexity_and_bits_count_each_token_once():
    """A fair die of 27 sides (Shannon 1951: 4.75 bits a letter with the space) and a fair coin."""
    metrics = language_metrics("letter")
    metrics.update(torch.tensor(27 * math.log(27)), torch.tensor(27))
    assert float(metrics.compute()["perplexity"]) == pytest.approx(27)
    assert float(metrics.compute()["bits_per_letter"]) == pytest.approx(4.7549, abs=1e-4)
    metrics.reset()
    for tokens in (1, 3, 60):  # batches of other sizes do not change it
        metrics.update(torch.tensor(tokens * math.log(2)), torch.tensor(tokens))
    assert float(metrics.compute()["perplexity"]) == pytest.approx(2)
    assert float(metrics.compute()["bits_per_letter"]) == pytest.approx(1)


def test_the_phm_score_counts_late_estimates_more():
    """By hand from the definition: s = sum of exp(-d/13) - 1 for d < 0, of exp(d/10) - 1 for d >= 0."""
    metric = PHMScore()
    metric.update(torch.tensor([112.0, 85.0]), torch.tensor([112.0, 98.0]))  # right; 13 too early: e - 1
    assert float(metric.compute()) == pytest.approx(1.7182818)
    metric.update(torch.tensor([92.0, 30.0]), torch.tensor([82.0, 10.0]))  # 10 too late: e - 1; 20: e^2 - 1
    metric.update(torch.tensor([0.0]), torch.tensor([26.0]))  # 26 too early: e^2 - 1
    assert float(metric.compute()) == pytest.approx(2 * 1.7182818 + 2 * 6.3890561)
    assert metric._reductions["total"] is torchmetrics.utilities.dim_zero_sum  # ranks add up
