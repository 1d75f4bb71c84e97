"""The Trainer's options have the same effect with the data module as with an ordinary loader."""

import itertools

import pytest
import torch
from lightning.pytorch import LightningModule

from seqkit import SequenceDataModule


class Recorder(LightningModule):
    """Record the batches of each epoch, and when validation runs."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs, self.validations = [], []

    def on_train_epoch_start(self):
        self.epochs.append([])

    def training_step(self, batch, batch_idx):
        self.epochs[-1].append(batch.rows.tolist())
        return self.weight

    def on_validation_epoch_start(self):
        self.validations.append((len(flat(self.epochs)), []))

    def validation_step(self, batch, batch_idx):
        self.validations[-1][1].append(batch.rows.tolist())

    def predict_step(self, batch, batch_idx):
        return batch.rows.tolist(), sorted(batch.targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.fixture(params=[0, 2], ids=["", "workers"])
def fit(request, splits, trainer):
    """Return a function that runs two epochs and returns the model and the trainer."""

    def run(**options):
        model, made = Recorder(), trainer(**({"max_epochs": 2, "num_sanity_val_steps": 0} | options))
        made.fit(model, make(splits, num_workers=request.param))
        return model, made

    return run


@pytest.fixture(scope="module")
def plan(splits):
    """Return the batches of the first three epochs."""
    loader = make(splits).train_dataloader()
    epochs = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        epochs.append(list(loader.sampler))
    return epochs


@pytest.fixture(scope="module")
def validation(splits):
    return list(make(splits).val_dataloader().sampler)


def test_defaults(fit, plan, validation):
    model, run = fit()
    assert model.epochs == plan[:2]
    assert run.global_step == 2 * len(plan[0])
    assert model.validations == [(len(plan[0]), validation), (2 * len(plan[0]), validation)]
    assert sorted(flat(validation)) == list(range(20))


@pytest.mark.parametrize(("limit", "batches"), [(3, 3), (0.5, None), (1.0, None)])
def test_limit_train_batches(fit, plan, limit, batches):
    model, run = fit(limit_train_batches=limit)
    batches = int(len(plan[0]) * limit) if batches is None else batches
    assert model.epochs == [plan[0][:batches], plan[1][:batches]]
    assert run.global_step == 2 * batches


def test_limit_val_batches(fit, validation):
    model, _ = fit(limit_val_batches=2)
    assert [rows for _, rows in model.validations] == [validation[:2]] * 2


@pytest.mark.parametrize("interval", [2, 0.25, 1.0])
def test_val_check_interval(fit, plan, validation, interval):
    model, _ = fit(val_check_interval=interval)
    steps = len(plan[0])
    every = interval if isinstance(interval, int) else int(steps * interval)
    expected = [epoch * steps + step for epoch in range(2) for step in range(every, steps + 1, every)]
    assert model.validations == [(step, validation) for step in expected]
    assert model.epochs == plan[:2]


def test_val_check_interval_across_epochs(fit, plan):
    steps = len(plan[0])
    model, _ = fit(val_check_interval=steps + 2, check_val_every_n_epoch=None)
    assert [step for step, _ in model.validations] == [steps + 2]


@pytest.mark.parametrize("every", [1, 2])
def test_reload_dataloaders_every_n_epochs(fit, plan, every):
    model, _ = fit(reload_dataloaders_every_n_epochs=every, max_epochs=3)
    assert model.epochs == plan


def test_accumulate_grad_batches(fit, plan):
    model, run = fit(accumulate_grad_batches=3)
    steps = -(-len(plan[0]) // 3)  # the last micro-batches of an epoch make a step
    assert run.global_step == 2 * steps
    assert model.epochs == plan[:2]


def test_max_steps(fit, plan):
    model, run = fit(max_steps=len(plan[0]) + 2, max_epochs=-1)
    assert model.epochs == [plan[0], plan[1][:2]]
    assert run.global_step == len(plan[0]) + 2


@pytest.mark.parametrize(("amount", "batches"), [(2, 2), (0.5, None)])
def test_overfit_batches_repeats_the_same_whole_batches(fit, plan, validation, amount, batches):
    model, run = fit(overfit_batches=amount, max_epochs=3)
    seen = model.epochs[0]
    expected = int(len(plan[0]) * amount) if batches is None else batches
    assert seen == plan[0][:expected]
    assert model.epochs == [seen] * 3
    assert run.global_step == 3 * expected
    expected = int(len(validation) * amount) if batches is None else batches
    assert [rows for _, rows in model.validations] == [validation[:expected]] * 3


def test_fast_dev_run(fit, plan, validation):
    model, _ = fit(fast_dev_run=2)
    assert model.epochs == [plan[0][:2]]
    assert [rows for _, rows in model.validations] == [validation[:2]]


@pytest.mark.parametrize("workers", [0, 2])
def test_predict(splits, trainer, workers):
    data = make(splits, num_workers=workers)
    predicted = trainer().predict(Recorder(), data)
    assert [rows for rows, _ in predicted] == list(data.test_dataloader().sampler)
    assert sorted(flat(rows for rows, _ in predicted)) == list(range(20))
    assert all(targets == [] for _, targets in predicted)
    limited = trainer(limit_predict_batches=2).predict(Recorder(), data)
    assert limited == predicted[:2]


def test_workers_persist_and_memory_is_pinned_for_a_gpu(splits):
    loader = make(splits, num_workers=2).train_dataloader()
    assert loader.persistent_workers
    assert loader.pin_memory == torch.cuda.is_available()
    list(loader)
    first = loader._iterator._workers
    list(loader)
    assert loader._iterator._workers is first
