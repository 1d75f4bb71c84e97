import math
import pickle
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from seqkit.optim import Plateau, WarmupConstant, WarmupCosine, WarmupLinear


def rates(schedule, steps, **options):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
    scheduler = schedule(optimizer, steps, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found, optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        (WarmupCosine, lambda x: (1 + math.cos(math.pi * x)) / 2),
        (WarmupLinear, lambda x: 1 - x),
        (WarmupConstant, lambda x: 1.0),
    ],
)
@pytest.mark.parametrize("warmup", [0.2, 20])
def test_values_during_and_after_the_warmup(schedule, after, warmup):
    found, end = rates(schedule, 100, warmup=warmup)
    assert found[:20] == pytest.approx([2 * (step + 1) / 21 for step in range(20)])
    assert found[20] == pytest.approx(2.0)
    assert found[20:] == pytest.approx([2 * after((step - 20) / 80) for step in range(20, 100)])
    assert end == pytest.approx(2 * after(1.0))


def test_cosine_without_warmup_equals_torchs():
    ours, _ = rates(WarmupCosine, 50, warmup=0)
    torchs, _ = rates(torch.optim.lr_scheduler.CosineAnnealingLR, 50)
    assert ours == pytest.approx(torchs)


@pytest.mark.parametrize("schedule", [WarmupCosine, WarmupLinear])
def test_last_value_is_the_floor(schedule):
    found, end = rates(schedule, 40, warmup=4, floor=0.25)
    assert end == pytest.approx(0.5)
    assert min(found[4:]) > 0.5


@pytest.mark.parametrize("schedule", [WarmupConstant, WarmupCosine, WarmupLinear])
def test_resumed_schedule_continues(schedule):
    def build():
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
        return optimizer, schedule(optimizer, 20, 5)

    def step(optimizer, scheduler):
        optimizer.step()
        scheduler.step()
        return optimizer.param_groups[0]["lr"]

    first = build()
    values = [step(*first) for _ in range(8)]
    state = pickle.loads(pickle.dumps([part.state_dict() for part in first]))
    second = build()
    for part, saved in zip(second, state, strict=True):
        part.load_state_dict(saved)
    assert second[0].param_groups[0]["lr"] == values[-1]
    assert [step(*second) for _ in range(12)] == [step(*first) for _ in range(12)]


def test_options_out_of_range_raise_an_error():
    with pytest.raises(ValueError, match=r"WarmupCosine: warmup=10 is 10 of the fit's 10 steps; give fewer steps"):
        rates(WarmupCosine, 10, warmup=10)
    with pytest.raises(ValueError, match=r"WarmupLinear: floor=1.5; give a share of the learning rate in \[0, 1\]"):
        rates(WarmupLinear, 10, floor=1.5)


class _NoStep(torch.optim.SGD):
    """Change no parameters, so that no metric improves."""

    @torch.no_grad()
    def step(self, closure=None):
        return closure()


def test_plateau_follows_the_tasks_monitor(splits, trainer):
    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=4),
        optimizer=partial(_NoStep, lr=0.8),
        lr_scheduler=partial(Plateau, factor=0.5, patience=1),
    )
    run = trainer(max_epochs=5)
    run.fit(model, data)
    scheduler = run.lr_scheduler_configs[0].scheduler
    assert run.lr_scheduler_configs[0].monitor == "val_accuracy"
    assert scheduler.mode == "max"
    # The first epoch is the best; the learning rate is halved after the third and the fifth.
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.2)


def test_plateau_starts_with_the_first_value_as_the_best(splits):
    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    model = Tagger(data.spec, **parts, optimizer=partial(torch.optim.SGD, lr=0.8), lr_scheduler=Plateau)
    model.trainer = SimpleNamespace(estimated_stepping_batches=10)
    scheduler = model.configure_optimizers()["lr_scheduler"]["scheduler"]
    for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
        scheduler.step(accuracy)
        assert scheduler.best == accuracy
    assert scheduler.optimizer.param_groups[0]["lr"] == 0.8


def test_plateau_needs_no_number_of_steps(splits, trainer):
    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    def fit(schedule):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64, streaming=True)
        parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
        trainer(max_epochs=1).fit(Tagger(data.spec, **parts, lr_scheduler=schedule), data)

    fit(Plateau)
    with pytest.raises(
        ValueError,
        match="WarmupCosine needs the number of steps of the fit, which is unknown for a stream",
    ):
        fit(WarmupCosine)


def test_warmup_of_a_whole_fit(splits, trainer):
    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=4),
        lr_scheduler=partial(WarmupCosine, warmup=0.25),
    )
    run = trainer(max_epochs=2)
    run.fit(model, data)
    scheduler = run.lr_scheduler_configs[0].scheduler
    assert scheduler.total_steps == run.global_step == scheduler.last_epoch
    assert scheduler.get_last_lr()[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("schedule", [WarmupCosine, WarmupLinear])
def test_a_fit_that_resumes_with_more_steps_follows_its_own_number(schedule):
    def make(steps):
        return schedule(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0), steps, floor=0.1)

    short, same, long = make(100), make(100), make(200)
    for _ in range(100):
        short.optimizer.step()
        short.step()
    same.load_state_dict(short.state_dict())
    with pytest.warns(UserWarning, match="from a fit of 100 steps and this fit has 200; .* step 100 of 200"):
        long.load_state_dict(short.state_dict())
    for scheduler in (same, long):
        scheduler.optimizer.step()
        scheduler.step()
    assert same.get_last_lr() == [pytest.approx(0.2)]
    assert long.get_last_lr() == [pytest.approx(2.0 * long.factor(101))]
    assert long.factor(101) > 0.5
