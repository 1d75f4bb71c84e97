import math
from functools import partial

import pytest
import torch
from torchmetrics import R2Score

from seqkit import Regressor, SequenceDataModule, packed
from seqkit.losses import Quantile
from seqkit.metrics import PHMScore
from seqkit.nn import LSTM, Embedding


def build(splits, target, **options):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    return Regressor(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4), **options
    ), data


def test_metrics_are_in_units_of_the_target(splits, trainer):
    model, data = build(splits, "values")
    (scores,) = trainer().test(model, data, verbose=False)
    batch = data.rows("test")[list(range(20))]
    with torch.no_grad():
        predicted = model.decode(model.eval()(batch.inputs))
    error = predicted.data.squeeze(-1) - batch.targets["values"].data
    assert scores["test_rmse"] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-5)
    assert scores["test_mae"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    last = packed.last(predicted).squeeze(-1) - packed.last(batch.targets["values"])
    assert scores["test_rmse_last"] == pytest.approx(float(last.square().mean().sqrt()), rel=1e-5)


def test_further_metrics_cover_all_units_or_the_last_steps(splits, trainer):
    further = {"phm_score_last": PHMScore, "r2": R2Score}
    model, data = build(splits, "values", metrics=further)
    run = trainer()
    (scores,) = run.test(model, data, verbose=False)
    assert {name for name in scores if "r2" in name or "phm" in name} == {"test_phm_score_last", "test_r2"}
    batch = data.rows("test")[list(range(20))]
    with torch.no_grad():
        predicted = model.decode(model.eval()(batch.inputs))
    wrong = (packed.last(predicted).squeeze(-1) - packed.last(batch.targets["values"])).tolist()
    expected = sum(math.exp(d / 10) - 1 if d >= 0 else math.exp(-d / 13) - 1 for d in wrong)
    assert scores["test_phm_score_last"] == pytest.approx(expected, rel=1e-4)
    run.save_checkpoint(path := run.default_root_dir + "/a.ckpt")
    again = Regressor.load_from_checkpoint(path, weights_only=True)
    assert trainer().test(again, data, verbose=False) == [scores]
    model, data = build(splits, "value", metrics={"phm_score": PHMScore})
    assert "test_phm_score" in trainer().test(model, data, verbose=False)[0]


@pytest.mark.parametrize(("target", "name"), [("values", "rmse_last"), ("values", "mae"), ("value", "rmse")])
def test_a_further_metric_needs_a_new_name(splits, target, name):
    with pytest.raises(ValueError, match=f"^Regressor reports '{name}' already; give the one in `metrics` another"):
        build(splits, target, metrics={name: PHMScore})


def test_the_loss_is_of_standardised_values(splits):
    model, data = build(splits, "value")
    values = torch.tensor(splits["train"]["value"])
    torch.testing.assert_close(model.standardization.mean, values.mean())
    torch.testing.assert_close(model.standardization.std, values.std(correction=0))
    batch = data.rows("train")[list(range(60))]
    output = torch.zeros(60, 1)
    total, units = model.compute_loss(output, batch.targets["value"])
    assert float(total / units) == pytest.approx(1.0, rel=1e-4)


def test_quantiles_are_ordered_on_average(splits, trainer):
    model, data = build(splits, "value", loss=partial(Quantile, quantiles=[0.1, 0.5, 0.9]))
    assert model.monitor == ("val_loss", "min")
    run = trainer(max_epochs=30)
    run.fit(model, data)
    predicted = torch.tensor([values for _, columns in run.predict(model, data) for values in columns["value"]])
    low, middle, high = predicted.mean(0).tolist()
    assert low < middle < high
