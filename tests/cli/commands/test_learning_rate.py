from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from seqkit.cli import find_lr, main
from seqkit.cli.commands import learning_rate
from seqkit.cli.commands.learning_rate import divergence, read_curve
from seqkit.optim import WarmupCosine
from tests.cli.cases import small_tagger, weights

RATES = np.geomspace(1e-6, 10, 150)


def curve(*, start=2.0, low=0.5, falls=1e-3, rises=1.0, noise=0.0, first=0.0, seed=0):
    """A plateau, a fall around one rate and a rise around another; ``first`` adds noise to the first steps."""
    x = np.log10(RATES)
    random = np.random.default_rng(seed)
    losses = low + (start - low) / (1 + np.exp(6 * (x - np.log10(falls))))
    losses = losses + np.exp(6 * (x - np.log10(rises)))
    losses[:5] += first * random.choice([-1, 1], 5)
    return losses + noise * random.standard_normal(len(x))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("falls", "rises"), [(1e-4, 1e-2), (1e-3, 1e-1), (1e-2, 3.0)])
def test_the_suggestion_is_between_the_middle_of_the_fall_and_the_divergence(falls, rises, seed):
    reading = read_curve(RATES, curve(falls=falls, rises=rises, noise=0.1, seed=seed))
    assert 0.7 * falls < reading.rate < rises / 3
    assert reading.message == ""


def test_noise_at_the_start_does_not_count():
    quiet = read_curve(RATES, curve(noise=0.02)).rate
    assert read_curve(RATES, curve(noise=0.02, first=0.6)).rate == pytest.approx(quiet, rel=0.3)


def test_one_step_far_up_does_not_move_the_suggestion():
    losses = curve(noise=0.05)
    quiet = read_curve(RATES, losses).rate
    losses[95] = 2.4  # within the valley
    assert read_curve(RATES, losses).rate == pytest.approx(quiet, rel=0.3)


def test_the_suggestion_ignores_a_steep_fall_before_a_longer_one():
    """As in tagging, where a model first learns the frequencies of the labels."""
    x = np.log10(RATES)
    losses = curve(start=2.0, low=1.0, falls=1e-4, rises=1.0) - 0.5 / (1 + np.exp(-3 * (x + 2)))
    assert 2e-3 < read_curve(RATES, losses).rate < 1e-1


@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_losses_may_be_negative(shift):
    assert read_curve(RATES, curve(noise=0.05) + shift).rate == pytest.approx(
        read_curve(RATES, curve(noise=0.05)).rate, rel=0.3
    )


@pytest.mark.parametrize(
    "losses",
    [
        np.full(150, 2.0),
        curve(low=2.0, rises=100.0),
        curve(low=2.0, noise=0.3),
        curve(low=1.95, noise=0.5),
        np.zeros(150),
    ],
    ids=["constant", "flat", "noise", "less than the noise", "zero"],
)
def test_a_curve_without_a_fall_suggests_nothing(losses):
    reading = read_curve(RATES, losses)
    assert reading.rate is None
    assert "the loss fell at no rate by more than its noise" in reading.message


@pytest.mark.parametrize("seed", range(5))
def test_more_steps_find_a_fall_in_noise_that_grows_with_the_loss(seed):
    """As on series of very different lengths: the loss of a batch of short rows is several times as high."""
    random = np.random.default_rng(seed)
    rates = np.geomspace(1e-6, 10, 1000)
    losses = np.interp(np.log10(rates), np.log10(RATES), curve(start=0.5, low=0.3, falls=1e-2, rises=3.0))
    losses *= np.exp(0.5 * random.standard_normal(1000))
    assert 7e-3 < read_curve(rates, losses).rate < 1


def test_a_curve_that_only_rises_suggests_nothing():
    assert read_curve(RATES, np.linspace(1.0, 4.0, 150)).rate is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_suggests_nothing(seed):
    noise = np.random.default_rng(seed).standard_normal(150)
    assert read_curve(RATES, 2.0 + 0.2 * noise).rate is None


def test_a_curve_that_only_falls_gets_a_warning():
    reading = read_curve(RATES, curve(falls=1.0, rises=1e6))
    assert 1.0 < reading.rate < 10.0
    assert "the loss does not rise up to the highest rate, 1.0e+01; this is where its fall ends" in reading.message


def test_a_fall_from_the_first_steps_on_gets_a_warning():
    reading = read_curve(RATES, curve(falls=1e-6))
    assert "the loss falls from the first steps on; start from a rate lower than 1.0e-06" in reading.message


@pytest.mark.parametrize("losses", [[2.0, 1.9, float("nan")], [2.0] * 12 + [float("inf")], [1.0]])
def test_a_very_short_curve_suggests_nothing(losses):
    reading = read_curve(RATES[: len(losses)], losses)
    assert reading.rate is None
    assert f"diverged after {sum(map(np.isfinite, losses))} steps; start from a lower rate" in reading.message


def test_divergence():
    assert divergence(curve(rises=1e6)) is None
    assert divergence([*[2.0] * 30, float("nan"), 2.0]) == 30
    assert divergence([*[2.0, 1.8] * 10, *[1.0] * 20, *[2.4] * 20]) is None  # not above 2 as far as 1 is below it
    assert 40 < divergence([*[2.0, 1.8] * 10, *[1.0] * 20, *[9.0] * 20]) < 45
    assert divergence([*[2.0] * 30, 9.0, *[2.0] * 10]) is not None
    losses = curve(noise=0.1)
    cut = divergence(losses)
    assert RATES[cut - 1] > 0.5
    assert read_curve(RATES, losses).rate == read_curve(RATES[:cut], losses[:cut]).rate


build = partial(small_tagger, optimizer=partial(torch.optim.Adam, lr=0.01), size=8)


@pytest.mark.filterwarnings("ignore:find_lr. the loss does not rise up to the highest rate")
def test_finds_a_rate_at_which_the_model_trains_and_changes_nothing(splits, trainer, tmp_path, capsys):
    expected, data = build(splits)
    trainer(max_epochs=2).fit(expected, data)
    model, data = build(splits, lr_scheduler=partial(WarmupCosine, warmup=500))
    before, run = weights(model), trainer(max_epochs=2)
    rate = find_lr(run, model, data, tmp_path / "new" / "lr.png")
    assert 1e-3 < rate < 0.3
    assert f"learning rate {rate:.1e}" in capsys.readouterr().out
    assert (tmp_path / "new" / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert torch.equal(weights(model), before)
    assert model.lr_scheduler is not None
    model.lr_scheduler = None
    run.fit(model, data)
    assert torch.equal(weights(model), weights(expected))


def test_each_step_has_its_rate_and_the_mean_loss_of_its_batches(splits, trainer):
    model, data = build(splits)
    rates, seen = np.geomspace(1e-9, 1e-8, 60), []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])
            return super().step(closure)

    model._optimizer = partial(Watched, lr=1.0)
    losses = learning_rate._range_test(trainer(accumulate_grad_batches=2), model, data, rates)
    assert seen == pytest.approx(list(rates))
    rows, sampler = data.rows("train"), data.sampler(data.rows("train"), training=True, single_rank=True)
    with torch.no_grad():
        each = [
            float(model.loss(model(batch.inputs), batch.targets["tags"])) for batch in (rows[i] for i in sampler)
        ]
    pairs = [np.mean(each[i : i + 2]) for i in range(0, len(each) - 1, 2)]
    assert losses[: len(pairs)] == pytest.approx(pairs, abs=1e-4)
    assert len(losses) == 60  # more than an epoch has


def test_the_picture_is_drawn_where_nothing_is_suggested(splits, trainer, tmp_path):
    model, data = build(splits)
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=False)
    model.head.bias.requires_grad_()
    model.head.bias.register_hook(torch.zeros_like)
    picture = tmp_path / "lr.png"
    with pytest.raises(ValueError, match=r"find_lr suggests no learning rate: the loss fell at no rate .* is in "):
        find_lr(trainer(), model, data, picture, steps=50)
    assert picture.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 20}, "find_lr got steps=20; give at least 50"),
        ({"lowest": 0.0}, "lowest=0.0 and highest=10.0; give a highest rate of more than ten times the lowest"),
        ({"lowest": 1e-3, "highest": 5e-3}, "lowest=0.001 and highest=0.005"),
    ],
)
def test_refuses_a_range_that_says_nothing(options, message, splits, trainer, tmp_path):
    with pytest.raises(ValueError, match=message):
        find_lr(trainer(), *build(splits), tmp_path / "lr.png", **options)


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:find_lr. the loss does not rise up to the highest rate")
@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_on_the_command_line(capsys):
    config = Path("config.yaml").read_text()
    main(["find_lr", "--config", "config.yaml", "--picture", "lr.png"])
    assert "learning rate" in capsys.readouterr().out
    assert Path("lr.png").exists()
    assert not Path("runs").exists()
    assert Path("config.yaml").read_text() == config
