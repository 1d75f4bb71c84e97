import math
from contextlib import nullcontext
from functools import partial

import datasets
import numpy as np
import pytest
import torch
from torchmetrics import R2Score

from seqkit import Regressor, SequenceDataModule, packed
from seqkit.data import Values
from seqkit.losses import Quantile, unit_values
from seqkit.metrics import PHMScore
from seqkit.nn import GRU, LSTM, Embedding, MeanPool
from seqkit.tasks.targets import Standardization


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
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=0.02)
    model, data = build(splits, "value", loss=partial(Quantile, quantiles=[0.1, 0.5, 0.9]), optimizer=adam)
    assert model.monitor == ("val_loss", "min")
    run = trainer(max_epochs=30)
    run.fit(model, data)
    predicted = torch.tensor([values for _, columns in run.predict(model, data) for values in columns["value"]])
    low, middle, high = predicted.mean(0).tolist()
    assert low < middle < high


def vectors(per):
    """Rows whose vector is linear in the mean of the row's numbers, or of each number."""
    random = np.random.default_rng(0)
    rows = [random.normal(size=random.integers(1, 7)) for _ in range(80)]
    target = [
        [[x, 1000 * x, 5 - x] for x in row] if per == "token" else [row.mean(), 1000 * row.mean(), 5 - row.mean()]
        for row in rows
    ]
    return datasets.Dataset.from_dict({"x": [row[:, None] for row in rows], "y": target})


@pytest.mark.parametrize("per", ["token", "sequence"])
def test_vectors(per, trainer):
    rows = vectors(per)
    data = SequenceDataModule(rows, inputs="x", targets={"y": Values(vectors=True)}, max_tokens=32)
    entry = data.spec["targets"]["y"]
    assert (entry["per"], entry["size"]) == (per, 3)
    torch.manual_seed(0)
    model = Regressor(
        data.spec,
        encoder=partial(GRU, hidden_size=16),
        pooling=MeanPool,
        optimizer=partial(torch.optim.Adam, lr=0.04),
    )
    batch = data.rows("train")[[0, 1, 2]]
    output = model(batch.inputs)
    truth = unit_values(batch.targets["y"])
    assert truth.shape == unit_values(output).shape == (len(truth), 3)
    total, units = model.compute_loss(output, batch.targets["y"])
    mean, std = (torch.tensor(entry["init_args"][name]) for name in ("mean", "std"))
    expected = torch.nn.functional.mse_loss(unit_values(output), (truth - mean) / std)
    torch.testing.assert_close(total / units, expected)
    run = trainer(max_epochs=25, limit_val_batches=0)
    run.fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_loss"] < 0.1
    found = {}
    for numbers, columns in run.predict(model, data.__class__({"test": rows}, spec=data.spec, max_tokens=32)):
        found |= dict(zip(numbers, columns["y"], strict=True))
    own = np.concatenate([np.reshape(found[row], (-1, 3)) for row in range(80)])
    true = np.concatenate([np.reshape(row, (-1, 3)) for row in rows["y"]])
    assert (np.abs(own - true).mean(0) < 0.4 * true.std(0)).all()


def test_a_list_of_another_length_than_the_row_names_the_vectors():
    rows = datasets.Dataset.from_dict({"x": [[[1.0]] * 4] * 20, "y": [[1.0, 2.0]] * 20})
    data = SequenceDataModule(rows, inputs="x", targets="y", max_tokens=32)
    with pytest.raises(ValueError, match=r"4 tokens in 'x' but 2 targets in 'y'.*by Values\(vectors=True\)"):
        data.rows("train")
    data = SequenceDataModule(rows, inputs="x", targets={"y": Values(vectors=True)}, max_tokens=32)
    with pytest.raises(ValueError, match="Quantile is for one value, but target 'y' has vectors of 2"):
        Regressor(data.spec, encoder=partial(GRU, hidden_size=2), loss=Quantile)


@pytest.mark.parametrize(
    ("mean", "std", "dtype", "message"),
    [
        (2000.0, 5.0, torch.bfloat16, r"bfloat16 rounds the target 'y' to multiples of 8, but its .* is 5"),
        (100.0, 40.0, torch.bfloat16, None),
        (0.0, 1e-3, torch.bfloat16, None),
        (2000.0, 5.0, torch.float32, None),
        (1.6e9, 500.0, torch.float32, r"float32 rounds the target 'y' to multiples of 128, but its .* is 500"),
    ],
)
def test_targets_that_a_precision_cannot_tell_apart_are_refused(mean, std, dtype, message):
    standardization = Standardization({"init_args": {"mean": mean, "std": std}})
    with nullcontext() if message is None else pytest.raises(ValueError, match=message):
        standardization.check_resolution("y", dtype)


def test_the_precision_of_a_fit_is_checked(trainer):
    rows = datasets.Dataset.from_dict(
        {"x": [[[1.0]] * (i % 5 + 1) for i in range(20)], "y": [2000.0 + i % 3 for i in range(20)]}
    )
    splits = {"train": rows, "validation": rows}
    data = SequenceDataModule(splits, inputs="x", targets="y", max_tokens=32)
    model = Regressor(data.spec, encoder=partial(GRU, hidden_size=2))
    with pytest.raises(ValueError, match="rounds the target 'y' to multiples of 8"):
        trainer(precision="bf16-true", max_epochs=1, num_sanity_val_steps=0).fit(model, data)
    trainer(precision="bf16-mixed", max_epochs=1).fit(model, data)
