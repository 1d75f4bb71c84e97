"""Interrupted runs continue in Lightning with the same batches."""

import json

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from seqkit.data.lightning import finished_epochs
from tests.data.lightning.cases import EPOCHS, Recorder, SaveAt, fit, make, path

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


@pytest.mark.parametrize("counts_steps", [False, True], ids=["", "estimated_stepping_batches"])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_resumed_tail_is_the_uninterrupted_one_wherever_it_is_cut(
    splits, trainer, tmp_path, workers, counts_steps
):
    steps = len(make(splits).train_dataloader())
    cuts = [1, steps - 1, steps, steps + 1, 2 * steps + 5] if workers else range(1, EPOCHS * steps)
    whole, states = fit(trainer, make(splits, num_workers=workers), cuts=cuts, folder=tmp_path)
    assert len(whole) == EPOCHS * steps
    for cut in cuts:
        state = states[cut]
        assert len(json.dumps(state)) < 1000
        assert (state["epoch"], state["batches"]) == divmod(cut, steps)
        # A run with workers continues from a checkpoint of one without, and the other way round.
        data = make(splits, num_workers=workers * (cut % 2))
        tail, _ = fit(trainer, data, resume=path(tmp_path, cut), counts_steps=counts_steps)
        assert tail == whole[cut:], cut


def test_states_after_a_resume_are_those_of_the_uninterrupted_run(splits, trainer, tmp_path):
    steps = len(make(splits).train_dataloader())
    cuts = [3, steps, steps + 1, 2 * steps, 2 * steps + 3]
    _, expected = fit(trainer, make(splits), cuts=cuts, folder=tmp_path)
    for first in (3, steps, 2 * steps):
        later = [cut for cut in cuts if cut > first]
        _, states = fit(
            trainer,
            make(splits),
            resume=path(tmp_path, first),
            cuts=[cut - first for cut in later],
            folder=tmp_path / f"from {first}",
        )
        assert [states[cut - first] for cut in later] == [expected[cut] for cut in later]


def test_every_epoch_starts_after_a_resume_at_an_epochs_end(splits, trainer, tmp_path):
    steps = len(make(splits).train_dataloader())
    fit(trainer, make(splits), cuts=[steps], folder=tmp_path)

    class Starts(Callback):
        def __init__(self):
            self.epochs = []

        def on_train_epoch_start(self, trainer, module):
            self.epochs.append(trainer.current_epoch)

    starts = Starts()
    fit(trainer, make(splits), resume=path(tmp_path, steps), callbacks=[starts])
    assert starts.epochs == [1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_twice_and_in_the_same_epoch(splits, trainer, tmp_path, workers):
    whole, _ = fit(trainer, make(splits), cuts=[2], folder=tmp_path)
    data = make(splits, num_workers=workers)
    once, _ = fit(trainer, data, resume=path(tmp_path, 2), cuts=[3], folder=tmp_path)
    twice, _ = fit(trainer, data, resume=path(tmp_path, 3))
    assert once == whole[2:]
    assert twice == whole[5:]


def test_a_run_after_a_resumed_one_starts_from_the_beginning(splits, trainer, tmp_path):
    data = make(splits)
    whole, _ = fit(trainer, data, cuts=[4], folder=tmp_path)
    fit(trainer, data, resume=path(tmp_path, 4))
    again, _ = fit(trainer, data)
    assert again == whole


def test_saved_between_epochs(splits, trainer, tmp_path):
    whole, _ = fit(trainer, make(splits))
    run = trainer(max_epochs=1, limit_val_batches=0)
    run.fit(Recorder(), make(splits))
    run.save_checkpoint(tmp_path / "end.ckpt")
    tail, _ = fit(trainer, make(splits, num_workers=2), resume=tmp_path / "end.ckpt", counts_steps=True)
    assert tail == whole[len(whole) // EPOCHS :]


@pytest.mark.parametrize("limited", [False, True], ids=["should_stop", "max_steps"])
@pytest.mark.parametrize("step", [7, 10, 13])
def test_a_fit_stopped_within_an_epoch_goes_on_there(splits, trainer, tmp_path, step, limited):
    whole, _ = fit(trainer, make(splits))
    options = {"max_steps": step} if limited else {"callbacks": [SaveAt([step], tmp_path, stop=True)]}
    run = trainer(max_epochs=EPOCHS, limit_val_batches=0, **options)
    run.fit(Recorder(), make(splits))
    run.save_checkpoint(tmp_path / "end.ckpt")
    tail, _ = fit(trainer, make(splits), resume=tmp_path / "end.ckpt")
    assert tail == whole[step:]


@pytest.mark.parametrize("reload", [0, 1, 2])
def test_with_reload_dataloaders_every_n_epochs(splits, trainer, tmp_path, reload):
    whole, _ = fit(trainer, make(splits), cuts=[13, 30], folder=tmp_path)
    for cut in (13, 30):
        tail, _ = fit(
            trainer,
            make(splits),
            resume=path(tmp_path, cut),
            counts_steps=True,
            reload_dataloaders_every_n_epochs=reload,
        )
        assert tail == whole[cut:]


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_another_accumulation_loses_and_repeats_no_row(splits, trainer, tmp_path, before, after):
    whole, _ = fit(trainer, make(splits), cuts=[5], folder=tmp_path, accumulate_grad_batches=before)
    tail, _ = fit(trainer, make(splits), resume=path(tmp_path, 5), accumulate_grad_batches=after)
    assert tail == whole[5:]


@pytest.mark.parametrize("cut", [0, 7, "epoch"])
def test_an_exception_loses_no_batch(splits, trainer, tmp_path, cut):
    whole, _ = fit(trainer, make(splits))
    cut = len(whole) // EPOCHS if cut == "epoch" else cut

    class Fails(Recorder):
        def training_step(self, batch, batch_idx):
            if len(self.seen) == cut:
                raise RuntimeError("out of luck")
            return super().training_step(batch, batch_idx)

    run = trainer(max_epochs=EPOCHS, limit_val_batches=0)
    with pytest.raises(RuntimeError, match="out of luck"):
        run.fit(Fails(), make(splits))
    run.save_checkpoint(path(tmp_path, cut))
    tail, _ = fit(trainer, make(splits), resume=path(tmp_path, cut))
    assert tail == whole[cut:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"words": [["w1"], ["w2", "w1"]]},
            r"rows '60 rows, [0-9a-f]{16}' in the state, '2 rows, [0-9a-f]{16}' here",
        ),
        ({"seed": 3}, r"seed 0 in the state, 3 here; resume with those the state was saved with"),
        ({"max_tokens": 40}, r"max_tokens 32 in the state, 40 here"),
        ({"max_sequences": 4}, r"max_sequences None in the state, 4 here"),
        ({"overlong": "drop"}, r"overlong 'raise' in the state, 'drop' here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_data_or_settings_raise(splits, trainer, tmp_path, change, message):
    first = make(splits)
    fit(trainer, first, cuts=[5], folder=tmp_path, max_epochs=1)
    options = {"spec": first.spec, **change}
    rows = splits
    if "words" in options:
        rows = {**splits, "train": splits["train"].select(range(2))}
        options.pop("words")
    with pytest.raises(ValueError, match=message):
        fit(trainer, make(rows, **options), resume=path(tmp_path, 5))


def test_a_checkpoint_says_how_many_epochs_are_finished(splits, trainer, tmp_path):
    """An epoch that ``max_steps`` cuts short is not, although Lightning counts it."""
    steps = len(make(splits).train_dataloader())
    cuts = [1, steps - 1, steps, steps + 1]
    fit(trainer, make(splits), cuts=cuts, folder=tmp_path)
    found = [finished_epochs(torch.load(path(tmp_path, cut), weights_only=True)) for cut in cuts]
    assert found == [0, 0, 0, 1]  # after the last batch, the end of the epoch is still to do
    for max_steps, finished in ((2 * steps - 1, 1), (2 * steps, 2)):
        run = trainer(max_steps=max_steps, limit_val_batches=0)
        run.fit(Recorder(), make(splits))
        run.save_checkpoint(tmp_path / "end.ckpt")
        assert finished_epochs(torch.load(tmp_path / "end.ckpt", weights_only=True)) == finished
