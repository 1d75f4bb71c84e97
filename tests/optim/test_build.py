from functools import partial
from types import SimpleNamespace

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback
from lightning.pytorch.cli import instantiate_module
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

from seqkit import LanguageModel, MultiTask, SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding
from seqkit.optim import Plateau, WarmupConstant, WarmupCosine, WarmupLinear, schedule_config

PARTS = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
EPOCHS = 3


class Rates(Callback):
    """Keeps the learning rate of each optimiser step."""

    def __init__(self):
        self.found = []

    def on_train_batch_start(self, trainer, *_):
        self.found.append(trainer.optimizers[0].param_groups[0]["lr"])


def make_data(splits, **options):
    return SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32, **options)


def fitted_rates(splits, trainer, fit_options=None, data_options=None, **options):
    """The learning rate of each step, and the number of steps in an epoch."""
    data = make_data(splits, **(data_options or {}))
    model = Tagger(data.spec, **PARTS, optimizer=partial(SGD, lr=0.5), **options)
    rates = Rates()
    run = trainer(**({"max_epochs": EPOCHS} | (fit_options or {})), callbacks=[rates])
    run.fit(model, data)
    assert len(rates.found) == run.global_step
    return rates.found, run.global_step // EPOCHS


def rates_by_hand(schedule, epochs, steps, interval):
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.5)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(epochs):
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if interval == "step":
                scheduler.step()
        if interval == "epoch":
            scheduler.step()
    return found


@pytest.mark.parametrize("interval", [None, "epoch", "step"])
@pytest.mark.parametrize(
    "schedule",
    [
        partial(ExponentialLR, gamma=0.9),
        partial(StepLR, step_size=2),
        partial(MultiStepLR, milestones=[1, 2]),
        partial(CosineAnnealingLR, T_max=7),
        partial(PolynomialLR, total_iters=6, power=2.0),
    ],
    ids=lambda schedule: schedule.func.__name__,
)
def test_schedules_of_torch_give_the_rates_that_they_give_by_hand(schedule, interval, splits, trainer):
    found, steps = fitted_rates(splits, trainer, lr_scheduler=schedule, lr_interval=interval)
    assert found == rates_by_hand(schedule, EPOCHS, steps, interval or "epoch")
    assert len(set(found)) > 1


def test_cyclic_schedules_are_stepped_after_each_step(splits, trainer):
    schedule = partial(CyclicLR, base_lr=0.1, max_lr=0.4, step_size_up=4)
    found, steps = fitted_rates(splits, trainer, lr_scheduler=schedule)
    assert found == rates_by_hand(schedule, EPOCHS, steps, "step")


@pytest.mark.parametrize("schedule", [WarmupConstant, WarmupCosine, WarmupLinear, partial(OneCycleLR, max_lr=0.5)])
def test_schedules_with_total_steps_get_the_number_of_steps(schedule, splits, trainer):
    found, steps = fitted_rates(splits, trainer, lr_scheduler=schedule)
    total = EPOCHS * steps
    assert found == rates_by_hand(partial(schedule, total_steps=total), EPOCHS, steps, "step")


@pytest.mark.parametrize("given", [{"total_steps": 90}, {"epochs": 9, "steps_per_epoch": 10}])
def test_a_number_of_steps_that_is_given_counts(given, splits, trainer):
    schedule = partial(OneCycleLR, max_lr=0.5, **given)
    found, steps = fitted_rates(splits, trainer, lr_scheduler=schedule)
    assert found == rates_by_hand(schedule, EPOCHS, steps, "step")
    assert found != fitted_rates(splits, trainer, lr_scheduler=partial(OneCycleLR, max_lr=0.5))[0]


def falling(optimizer, total_steps):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total_steps)


def test_a_function_may_take_total_steps():
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.5)
    config = schedule_config(falling, optimizer, lambda: 4, task_monitor=("val_loss", "min"))
    assert config["interval"] == "step"
    optimizer.step()
    config["scheduler"].step()
    assert optimizer.param_groups[0]["lr"] == 0.375


@pytest.mark.parametrize("schedule", [partial(ExponentialLR, gamma=0.5), partial(StepLR, step_size=1, gamma=0.5)])
def test_a_stream_needs_no_number_of_steps_for_schedules_of_torch(schedule, splits, trainer):
    found, steps = fitted_rates(splits, trainer, data_options={"streaming": True}, lr_scheduler=schedule)
    assert found == [0.5] * steps + [0.25] * steps + [0.125] * steps


@pytest.mark.parametrize("schedule", [partial(WarmupCosine, warmup=500), partial(OneCycleLR, max_lr=0.5)])
def test_a_stream_needs_max_steps_for_schedules_with_total_steps(schedule, splits, trainer):
    with pytest.raises(
        ValueError,
        match=r"lr_scheduler: \w+ needs the number of steps of the fit, which is unknown for a stream; set the "
        r"trainer's max_steps, or use a schedule without total_steps",
    ):
        fitted_rates(splits, trainer, data_options={"streaming": True}, lr_scheduler=schedule)
    options = {"max_steps": 600, "max_epochs": 1}
    found, _ = fitted_rates(splits, trainer, options, {"streaming": True}, lr_scheduler=schedule)
    assert found[:2] == rates_by_hand(partial(schedule, total_steps=600), 1, 2, "step")


@pytest.mark.parametrize(
    ("options", "monitor"),
    [({}, ("val_accuracy", "max")), ({"lr_monitor": ("val_loss", "min")}, ("val_loss", "min"))],
)
@pytest.mark.parametrize("schedule", [Plateau, partial(ReduceLROnPlateau, factor=0.5)])
def test_plateaus_follow_a_monitor(schedule, options, monitor, splits, trainer):
    data = make_data(splits)
    model = Tagger(data.spec, **PARTS, lr_scheduler=schedule, **options)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    config = run.lr_scheduler_configs[0]
    assert (config.monitor, config.scheduler.mode, config.interval) == (*monitor, "epoch")
    assert config.scheduler.best == run.callback_metrics[monitor[0]]


def test_a_plateau_may_follow_the_training_loss_of_each_step(splits, trainer):
    options = {"lr_interval": "step", "lr_monitor": ("train_loss", "max")}  # it falls: each step is a bad one
    schedule = partial(ReduceLROnPlateau, factor=0.5, patience=0)
    found, _ = fitted_rates(splits, trainer, lr_scheduler=schedule, **options)
    assert found[-1] < 0.5 / 4


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        (CosineAnnealingLR, {}, "lr_scheduler: CosineAnnealingLR lacks T_max; give it in init_args"),
        (StepLR, {}, "lr_scheduler: StepLR lacks step_size"),
        (WarmupCosine, {"lr_interval": "epoch"}, "but WarmupCosine takes total_steps in optimiser steps"),
        (
            partial(ExponentialLR, gamma=0.9),
            {"lr_monitor": ("val_loss", "min")},
            r"lr_monitor=\('val_loss', 'min'\), but ExponentialLR takes no metric",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(schedule, options, message, splits):
    model = Tagger(make_data(splits).spec, **PARTS, lr_scheduler=schedule, **options)
    model.trainer = SimpleNamespace(estimated_stepping_batches=10)
    with pytest.raises((TypeError, ValueError), match=message):
        model.configure_optimizers()


@pytest.mark.parametrize("task", [Tagger, MultiTask])
def test_options_without_a_schedule_are_refused(task, splits):
    with pytest.raises(ValueError, match="lr_interval and lr_monitor belong to an lr_scheduler, but there is none"):
        task(make_data(splits).spec, **PARTS, lr_interval="step")


@pytest.mark.parametrize("task", ["Tagger", "MultiTask", "LanguageModel"])
@pytest.mark.parametrize(
    ("written", "interval"),
    [
        ("{class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.9}}", "epoch"),
        ("{class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.9}}", "step"),
        ("{class_path: seqkit.optim.WarmupCosine, init_args: {warmup: 0.3}}", "step"),
        ("{class_path: seqkit.optim.Plateau}", "epoch"),
    ],
)
def test_a_config_and_its_checkpoint_build_a_schedule(task, written, interval, splits, trainer, tmp_path):
    targets = {} if task == "LanguageModel" else {"targets": "tags"}
    data = SequenceDataModule(splits, inputs="words", max_tokens=32, **targets)
    arguments = {
        "spec": data.spec,
        "encoder": {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 4}},
        "embedding": {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 4}},
        "lr_scheduler": yaml.safe_load(written),
    }
    cls = {"Tagger": Tagger, "MultiTask": MultiTask, "LanguageModel": LanguageModel}[task]
    parser = ArgumentParser()
    parser.add_subclass_arguments(cls, "model")
    parsed = parser.parse_object({"model": {"class_path": f"seqkit.{task}", "init_args": arguments}})
    model = parser.instantiate_classes(parsed).model
    run = trainer(max_steps=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    for built in (model, cls.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)):
        built.trainer = SimpleNamespace(estimated_stepping_batches=20)
        config = built.configure_optimizers()["lr_scheduler"]
        assert config["interval"] == interval
        if interval == "step":
            assert config["scheduler"].total_steps == 20


def test_a_config_of_earlier_versions_without_the_number_of_steps_loads(splits):
    data = make_data(splits)
    arguments = {
        "encoder": {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 4}},
        "embedding": {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 4}},
        "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR"},
    }
    model = instantiate_module(Tagger, {"_class_path": "seqkit.Tagger", "spec": data.spec} | arguments)
    model.trainer = SimpleNamespace(estimated_stepping_batches=20)
    with pytest.raises(TypeError, match="lr_scheduler: CosineAnnealingLR lacks T_max; give it in init_args"):
        model.configure_optimizers()
