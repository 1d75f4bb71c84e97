"""Lightning's options do with the data module what they do with an ordinary loader."""

import itertools

import pytest
import torch
from lightning.pytorch import LightningModule

from seqkit import SequenceDataModule


class Net(LightningModule):
    """Writes down what it is given, and when."""

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
        self.validations.append((len(joined(self.epochs)), []))

    def validation_step(self, batch, batch_idx):
        self.validations[-1][1].append(batch.rows.tolist())

    def predict_step(self, batch, batch_idx):
        return batch.rows.tolist(), sorted(batch.targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.fixture(params=[0, 2], ids=["", "workers"])
def fit(request, splits, trainer):
    """Runs two epochs; gives the net and the trainer."""

    def run(**options):
        net, made = Net(), trainer(**({"max_epochs": 2, "num_sanity_val_steps": 0} | options))
        made.fit(net, make(splits, num_workers=request.param))
        return net, made

    return run


@pytest.fixture(scope="module")
def plan(splits):
    """The batches of the first three epochs."""
    loader = make(splits).train_dataloader()
    epochs = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        epochs.append(list(loader.sampler))
    return epochs


@pytest.fixture(scope="module")
def validation(splits):
    return list(make(splits).val_dataloader().sampler)


def test_without_any(fit, plan, validation):
    net, run = fit()
    assert net.epochs == plan[:2]
    assert run.global_step == 2 * len(plan[0])
    assert net.validations == [(len(plan[0]), validation), (2 * len(plan[0]), validation)]
    assert sorted(joined(validation)) == list(range(20))


@pytest.mark.parametrize(("limit", "batches"), [(3, 3), (0.5, None), (1.0, None)])
def test_limit_train_batches(fit, plan, limit, batches):
    net, run = fit(limit_train_batches=limit)
    batches = int(len(plan[0]) * limit) if batches is None else batches
    assert net.epochs == [plan[0][:batches], plan[1][:batches]]
    assert run.global_step == 2 * batches


def test_limit_val_batches(fit, validation):
    net, _ = fit(limit_val_batches=2)
    assert [rows for _, rows in net.validations] == [validation[:2]] * 2


@pytest.mark.parametrize("interval", [2, 0.25, 1.0])
def test_val_check_interval(fit, plan, validation, interval):
    net, _ = fit(val_check_interval=interval)
    steps = len(plan[0])
    every = interval if isinstance(interval, int) else int(steps * interval)
    expected = [epoch * steps + step for epoch in range(2) for step in range(every, steps + 1, every)]
    assert net.validations == [(step, validation) for step in expected]
    assert net.epochs == plan[:2]


def test_val_check_interval_across_epochs(fit, plan):
    steps = len(plan[0])
    net, _ = fit(val_check_interval=steps + 2, check_val_every_n_epoch=None)
    assert [step for step, _ in net.validations] == [steps + 2]


@pytest.mark.parametrize("every", [1, 2])
def test_reload_dataloaders_every_n_epochs(fit, plan, every):
    net, _ = fit(reload_dataloaders_every_n_epochs=every, max_epochs=3)
    assert net.epochs == plan


def test_accumulate_grad_batches(fit, plan):
    net, run = fit(accumulate_grad_batches=3)
    steps = -(-len(plan[0]) // 3)  # what is left at an epoch's end is a step
    assert run.global_step == 2 * steps
    assert net.epochs == plan[:2]


def test_max_steps(fit, plan):
    net, run = fit(max_steps=len(plan[0]) + 2, max_epochs=-1)
    assert net.epochs == [plan[0], plan[1][:2]]
    assert run.global_step == len(plan[0]) + 2


@pytest.mark.parametrize(("amount", "batches"), [(2, 2), (0.5, None)])
def test_overfit_batches_repeats_the_same_whole_batches(fit, plan, validation, amount, batches):
    net, run = fit(overfit_batches=amount, max_epochs=3)
    seen = net.epochs[0]
    expected = int(len(plan[0]) * amount) if batches is None else batches
    assert seen == plan[0][:expected]
    assert net.epochs == [seen] * 3
    assert run.global_step == 3 * expected
    expected = int(len(validation) * amount) if batches is None else batches
    assert [rows for _, rows in net.validations] == [validation[:expected]] * 3


def test_fast_dev_run(fit, plan, validation):
    net, _ = fit(fast_dev_run=2)
    assert net.epochs == [plan[0][:2]]
    assert [rows for _, rows in net.validations] == [validation[:2]]


@pytest.mark.parametrize("workers", [0, 2])
def test_predict(splits, trainer, workers):
    data = make(splits, num_workers=workers)
    predicted = trainer().predict(Net(), data)
    assert [rows for rows, _ in predicted] == list(data.test_dataloader().sampler)
    assert sorted(joined(rows for rows, _ in predicted)) == list(range(20))
    assert all(targets == [] for _, targets in predicted)
    limited = trainer(limit_predict_batches=2).predict(Net(), data)
    assert limited == predicted[:2]


def test_workers_stay_and_memory_is_pinned_where_there_is_a_gpu(splits):
    loader = make(splits, num_workers=2).train_dataloader()
    assert loader.persistent_workers
    assert loader.pin_memory == torch.cuda.is_available()
    list(loader)
    first = loader._iterator._workers
    list(loader)
    assert loader._iterator._workers is first
