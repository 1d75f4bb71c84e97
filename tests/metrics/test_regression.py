import pytest
import torch

from seqkit.metrics import PHMScore, regression_metrics


def test_rmse_is_in_units_of_the_target():
    metrics = regression_metrics()
    metrics.update(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]))
    values = metrics.compute()
    torch.testing.assert_close(values["rmse"], torch.tensor(12.5).sqrt())
    torch.testing.assert_close(values["mae"], torch.tensor(3.5))


def test_phm_score_counts_late_estimates_more():
    """By hand from the definition: s = sum of exp(-d/13) - 1 for d < 0, of exp(d/10) - 1 for d >= 0."""
    metric = PHMScore()
    metric.update(torch.tensor([112.0, 85.0]), torch.tensor([112.0, 98.0]))  # right; 13 too early: e - 1
    assert float(metric.compute()) == pytest.approx(1.7182818)
    metric.update(torch.tensor([92.0, 30.0]), torch.tensor([82.0, 10.0]))  # 10 too late: e - 1; 20: e^2 - 1
    metric.update(torch.tensor([0.0]), torch.tensor([26.0]))  # 26 too early: e^2 - 1
    assert float(metric.compute()) == pytest.approx(2 * 1.7182818 + 2 * 6.3890561)
    metric.dist_sync_fn, metric.distributed_available_fn = lambda state, **_: [state, state], lambda: True
    metric.update(torch.tensor([50.0]), torch.tensor([50.0]))
    assert float(metric.compute()) == pytest.approx(4 * 1.7182818 + 4 * 6.3890561)  # two ranks with these units


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"estimates \(2, 1\) but true values \(2,\); give both the same shape"):
        PHMScore().update(torch.zeros(2, 1), torch.zeros(2))
