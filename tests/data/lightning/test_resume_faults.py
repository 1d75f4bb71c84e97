"""Lightning's known faults in resuming: each check holds for our loader, and fails for a usual one."""

import itertools
from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tests.data.lightning.cases import EPOCHS, Recorder, fit, make, path

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


class Rows(Dataset):
    def __getitem__(self, row):
        return row

    def __len__(self):
        return 40


class BucketedBatches:
    """A usual batch sampler, which shuffles by the epoch given to ``set_epoch``."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        yield from (order[start : start + 4] for start in range(0, 40, 4))

    def __len__(self):
        return 10


class Reachable(BucketedBatches):
    """With the usual workaround: Lightning looks for ``set_epoch`` in ``batch_sampler.sampler``."""

    @property
    def sampler(self):
        return self


class StatefulLoader(DataLoader):
    """A usual loader with a state, which skips consumed batches."""

    def __init__(self, workers):
        super().__init__(Rows(), batch_sampler=Reachable(), num_workers=workers)
        self.consumed = 0
        self.skip = 0

    def __iter__(self):
        skip, self.skip = self.skip, 0
        self.consumed = skip
        for batch in itertools.islice(super().__iter__(), skip, None):
            self.consumed += 1
            yield batch

    def state_dict(self):
        return {"epoch": self.batch_sampler.epoch, "consumed": self.consumed}

    def load_state_dict(self, state):
        self.batch_sampler.set_epoch(state["epoch"])
        self.skip = state["consumed"]


class EagerLoader(DataLoader):
    """Without a state, but with the workaround for ``set_epoch``; workers prefetch once there is an iterator."""

    def __init__(self, workers):
        super().__init__(Rows(), batch_sampler=Reachable(), num_workers=workers)


def usual(loader):
    return pytest.param(
        loader, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason="breaks in Lightning 2.6")
    )


def ours(splits, workers):
    return make(splits, num_workers=workers)


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable:UserWarning")
@pytest.mark.parametrize("loader", [ours, usual(lambda _, workers: EagerLoader(workers))], ids=["ours", "usual"])
def test_the_first_resumed_epoch_is_not_epoch_0_again(splits, trainer, tmp_path, loader):
    """Lightning #21938: it makes the iterator, which starts the workers, before it sets the epoch."""
    whole, _ = fit(trainer, loader(splits, 0), max_epochs=2)
    run = trainer(max_epochs=1, limit_val_batches=0)
    run.fit(Recorder(), loader(splits, 2))
    run.save_checkpoint(tmp_path / "end.ckpt")
    tail, _ = fit(trainer, loader(splits, 2), resume=tmp_path / "end.ckpt", max_epochs=2)
    assert tail == whole[len(whole) // 2 :]


@pytest.mark.parametrize("loader", [ours, usual(lambda _, workers: StatefulLoader(workers))], ids=["ours", "usual"])
def test_the_loaders_state_survives_counting_the_steps(splits, trainer, tmp_path, loader):
    """Lightning #20550: the loader is set up while optimisers are configured, before there is a state to load."""
    whole, _ = fit(trainer, loader(splits, 0), cuts=[4], folder=tmp_path, max_epochs=1)
    tail, _ = fit(trainer, loader(splits, 0), resume=path(tmp_path, 4), counts_steps=True, max_epochs=1)
    assert tail == whole[4:]


def test_the_usual_stateful_loader_works_without_counting_the_steps(trainer, tmp_path):
    whole, _ = fit(trainer, StatefulLoader(0), cuts=[4], folder=tmp_path, max_epochs=1)
    tail, _ = fit(trainer, StatefulLoader(0), resume=path(tmp_path, 4), max_epochs=1)
    assert tail == whole[4:]


@pytest.mark.parametrize("form", ["module", "batch_sampler", usual("usual")])
def test_the_epoch_reaches_the_sampler(splits, trainer, form):
    """Lightning #13316: a batch sampler's ``set_epoch`` is never called."""
    data = make(splits)
    loader = {
        "module": data,
        "batch_sampler": DataLoader(range(60), batch_sampler=data.train_dataloader().sampler),
        "usual": DataLoader(Rows(), batch_sampler=BucketedBatches()),
    }[form]
    seen, _ = fit(trainer, loader)
    epochs = [[rows for epoch, _, rows in seen if epoch == number] for number in range(EPOCHS)]
    joined = [Counter(itertools.chain.from_iterable(batches)) for batches in epochs]
    assert joined[0] == joined[1] == joined[2]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
