import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from seqkit.metrics import ValueReport

floats = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(floats, floats), min_size=2, max_size=20))
def test_errors_equal_those_of_torchmetrics_and_numpy(pairs):
    predicted, true = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    metric = ValueReport()
    metric.update((predicted[:1], true[:1]))
    metric.update((predicted[1:], true[1:]))
    found = metric.to_python()["values"]["all"]
    errors = (predicted - true).numpy()
    assert found["count"] == len(pairs)
    assert found["bias"] == pytest.approx(errors.mean())
    assert found["error_90"] == pytest.approx(np.percentile(np.abs(errors), 90))
    assert found["rmse"] == pytest.approx(
        float(MeanSquaredError(squared=False)(predicted, true)), rel=1e-4, abs=1e-6
    )
    assert found["mae"] == pytest.approx(float(MeanAbsoluteError()(predicted, true)), rel=1e-4, abs=1e-6)
    if true.std() > 1:  # otherwise float32 is too coarse for torchmetrics
        assert found["r2"] == pytest.approx(float(R2Score()(predicted, true)), rel=1e-3, abs=1e-3)


def test_the_table_of_values():
    metric = ValueReport()
    metric.update((torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 2.0])))
    table = metric.table()
    assert table.header == ("", "bias", "RMSE", "MAE", "90 % of errors", "R²", "count")
    assert table.sections == [[("all", "1.0000", "1.2910", "1.0000", "1.8000", "-6.5000", "3")]]
    assert table.caption == ""


def test_names_without_values_are_left_out():
    metric = ValueReport(["all", "last steps"])
    metric.update((torch.ones(2), torch.zeros(2)))
    metric.update((torch.ones(1), torch.zeros(1)), (torch.ones(0), torch.zeros(0)))
    assert list(metric.to_python()["values"]) == ["all"]
    assert len(metric.table().sections[0]) == 1
    metric.update((torch.ones(1), torch.zeros(1)), (torch.ones(1), torch.zeros(1)))
    assert list(metric.to_python()["values"]) == ["all", "last steps"]
    figure, _ = metric.plot("a title")
    assert figure.axes[0].get_title() == "a title, last steps"


def test_nothing_to_report():
    metric = ValueReport()
    metric.update((torch.ones(0), torch.zeros(0)))
    assert metric.to_python() == {"values": {}}
    assert not any(metric.table().sections)
    assert metric.plot() is None


def test_equal_true_values_have_an_r2_of_zero():
    metric = ValueReport()
    metric.update((torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])))
    assert metric.to_python()["values"]["all"]["r2"] == 0.0


def test_many_points_are_drawn_as_cells():
    metric = ValueReport()
    values = torch.linspace(0, 1, 3000)
    metric.update((values, values.square()))
    assert metric.plot()[0].axes[0].collections
