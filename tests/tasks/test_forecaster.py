from functools import partial

import datasets
import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from seqkit import Forecaster, SequenceDataModule, packed
from seqkit.callbacks import Report
from seqkit.losses import L1, Quantile
from seqkit.nn import GRU, LSTM, Downsample, Embedding, Stack, Upsample

ENCODER = partial(GRU, hidden_size=16)


@pytest.fixture(scope="module")
def waves():
    """Sines of different phase and frequency, and their negatives: two values determine the next."""
    random = np.random.default_rng(0)

    def rows(count):
        made = []
        for length in random.integers(1, 30, count):
            wave = 10 + 3 * np.sin(random.uniform(0, 6) + random.uniform(0.3, 0.9) * np.arange(length))
            made.append([[float(value), float(-2 * value)] for value in wave])
        return datasets.Dataset.from_dict({"series": made})

    return datasets.DatasetDict(train=rows(80), validation=rows(20), test=rows(20))


def build(waves, **options):
    data = SequenceDataModule(waves, inputs="series", max_tokens=128)
    torch.manual_seed(0)
    return Forecaster(data.spec, encoder=ENCODER, **({"horizon": 3} | options)), data


def by_hand(model, rows, count):
    """Predicted and true values of each step ahead that exists, in units of the column, by a plain loop."""
    pairs = {1: [], 2: [], 3: []}
    for row in range(count):
        inputs = rows[[row]].inputs
        own = inputs["series"].data * model.standardization.std + model.standardization.mean
        predicted = model(inputs).data.view(len(own), 3, 2) * model.standardization.std + model.standardization.mean
        for t in range(len(own)):
            for ahead in range(1, 4):
                if t + ahead < len(own):
                    pairs[ahead].append((predicted[t, ahead - 1], own[t + ahead]))
    return pairs


def test_metrics_cover_every_step_ahead_that_exists(waves, trainer):
    model, data = build(waves, per_horizon=True)
    (scores,) = trainer().test(model, data, verbose=False)
    with torch.no_grad():
        pairs = by_hand(model.eval(), data.rows("test"), 20)
    for name, chosen in (("", [1, 2, 3]), ("_1", [1]), ("_3", [3])):
        errors = torch.stack([a - b for ahead in chosen for a, b in pairs[ahead]])
        assert scores[f"test_rmse{name}"] == pytest.approx(float(errors.square().mean().sqrt()), rel=1e-5)
        assert scores[f"test_mae{name}"] == pytest.approx(float(errors.abs().mean()), rel=1e-5)
    errors = torch.stack([(a - b) / model.standardization.std for ahead in pairs for a, b in pairs[ahead]])
    assert scores["test_loss"] == pytest.approx(float(errors.square().mean()), rel=1e-5)


def test_no_output_depends_on_what_comes_later(waves):
    model, data = build(waves)
    batch = data.rows("train")[list(range(10))]
    series = batch.inputs["series"]
    series.data.requires_grad_()
    output = model({"series": series})
    position, own = packed.positions(series), packed.sequences(series)
    for token in range(0, len(series.data), 7):
        (gradient,) = torch.autograd.grad(output.data[token].sum(), series.data, retain_graph=True)
        seen = gradient.abs().sum(1) > 0
        assert not seen[(own != own[token]) | (position > position[token])].any()


def test_gradients_reach_every_parameter(waves):
    model, data = build(waves)
    batch = data.rows("train")[[0, 1, 2]]
    total, units = model.compute_loss(*model.task_output(model(batch.inputs), batch))
    (total / units).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_overfits_eight_rows(trainer):
    """Noise, which can only be memorised."""
    random = np.random.default_rng(0)
    rows = datasets.Dataset.from_dict({"series": [random.normal(size=(3 + i % 4, 1)).tolist() for i in range(8)]})
    model, data = build(
        {"train": rows, "validation": rows}, horizon=1, optimizer=partial(torch.optim.Adam, lr=0.03)
    )
    trainer(max_epochs=300, limit_val_batches=0).fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_rmse"] < 0.2


def test_learns_waves_and_predicts_the_next_steps(waves, trainer, tmp_path):
    model, data = build(waves, optimizer=partial(torch.optim.Adam, lr=0.02))
    run = trainer(max_epochs=60, limit_val_batches=0, callbacks=[Report(worst=2, folder=str(tmp_path))])
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    (scores,) = run.test(model, data, verbose=False)
    series = [torch.tensor(row) for row in waves["test"]["series"]]
    stays = [(own[ahead:] - own[:-ahead]).flatten() for own in series for ahead in (1, 2, 3) if len(own) > ahead]
    assert scores["test_rmse"] < 0.5 * float(torch.cat(stays).square().mean().sqrt())
    assert (tmp_path / "test_series.png").exists()
    again = Forecaster.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    for rows, columns in run.predict(again, data):
        for row, following in zip(rows, columns["series"], strict=True):
            alone = data.rows("test")[[row]].inputs
            with torch.no_grad():
                last = (
                    model.eval()(alone).data[-1].view(3, 2) * model.standardization.std + model.standardization.mean
                )
            np.testing.assert_allclose(following, last.numpy(), rtol=1e-4)


def test_sequences_of_one_step_have_no_units(waves):
    model, _ = build(waves)
    series = PackedSequence(torch.randn(4, 2), torch.tensor([4]))
    output = model({"series": series})
    total, units = model.compute_loss(output, series)
    assert units == 0
    (total / units.clamp(min=1)).backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.parameters())


def test_further_inputs(splits, trainer):
    data = SequenceDataModule(splits, inputs=["words", "values"], max_tokens=64)
    model = Forecaster(data.spec, encoder=ENCODER, embedding=partial(Embedding, embedding_dim=4), loss=L1)
    assert (model.target_column, model.output_size()) == ("values", 1)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    model.eval()
    mean, std = (data.spec["inputs"]["values"]["init_args"][name] for name in ("mean", "std"))
    for rows, columns in run.predict(model, data):
        for row, following in zip(rows, columns["values"], strict=True):
            with torch.no_grad():
                last = model(data.rows("test")[[row]].inputs).data[-1]
            assert following == pytest.approx((last * torch.tensor(std) + torch.tensor(mean)).tolist(), rel=1e-4)


class TestBadInput:
    def test_a_target(self, splits):
        data = SequenceDataModule(splits, inputs="series", targets="value", max_tokens=64)
        with pytest.raises(ValueError, match=r"target from an input, but the data has the targets \['value'\]"):
            Forecaster(data.spec, encoder=ENCODER)

    def test_a_column_without_features(self, splits):
        data = SequenceDataModule(splits, inputs=["words", "series"], max_tokens=64)
        with pytest.raises(ValueError, match=r"column='words' and those with features are \['series'\]"):
            Forecaster(data.spec, encoder=ENCODER, embedding=partial(Embedding, embedding_dim=4), column="words")

    def test_an_encoder_that_reads_the_target(self, waves):
        data = SequenceDataModule(waves, inputs="series", max_tokens=64)
        with pytest.raises(ValueError, match="Forecaster is causal, but encoder LSTM is bidirectional"):
            Forecaster(data.spec, encoder=partial(LSTM, hidden_size=4, bidirectional=True))

    def test_options(self, waves):
        with pytest.raises(ValueError, match="Forecaster got horizon=0; give a number of steps of at least 1"):
            build(waves, horizon=0)
        with pytest.raises(ValueError, match="one value a step ahead; use MSE, L1 or Huber, not Quantile"):
            build(waves, loss=Quantile)


def test_an_encoder_that_changes_the_steps(waves):
    layers = [partial(Downsample, factor=2), ENCODER, partial(Upsample, factor=2)]
    data = SequenceDataModule(waves, inputs="series", max_tokens=128)
    with pytest.raises(ValueError, match="Forecaster is causal, but encoder Stack has Downsample, which changes"):
        Forecaster(data.spec, encoder=partial(Stack, layers=layers))
