import shutil
import sys
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from seqkit import Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint
from seqkit.callbacks.checkpoint import AtomicCheckpointIO
from seqkit.nn import LSTM, Embedding


def fit(task, target, splits, trainer, folder):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32, validation_fraction=0)
    model = task(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    checkpoint = BestCheckpoint(dirpath=str(folder))
    trainer(max_epochs=2, enable_checkpointing=True, callbacks=[checkpoint]).fit(model, data)
    return checkpoint


def test_watches_the_monitor_of_the_task(splits, trainer, tmp_path):
    tagger = fit(Tagger, "tags", splits, trainer, tmp_path / "a")
    regressor = fit(Regressor, "value", splits, trainer, tmp_path / "b")
    assert (tagger.monitor, tagger.mode) == ("val_accuracy", "max")
    assert (regressor.monitor, regressor.mode) == ("val_rmse", "min")
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert tagger.best_model_score is not None


@pytest.fixture
def run(splits, trainer):
    """Fit a tagger for as many epochs as there are scores, and return its checkpoint callback."""

    def make(folder, *scores, ckpt_path=None, callbacks=(), **options):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
        best = BestCheckpoint(dirpath=str(folder))
        made = trainer(max_epochs=len(scores), enable_checkpointing=True, callbacks=[best, *callbacks], **options)
        model = Tagger(data.spec, **parts)
        computed = model.compute_metrics

        def compute_metrics(stage):
            return computed(stage) | {"val_accuracy": torch.tensor(scores[model.current_epoch])}

        model.compute_metrics = compute_metrics
        made.fit(model, data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
        return best

    return make


def epoch_of(file):
    return torch.load(file, weights_only=True)["epoch"]


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_of_equal_epochs_the_last_is_kept(run, tmp_path):
    run(tmp_path / "run", 0.5, 0.5, 0.5)
    assert names(tmp_path / "run") == {"best.ckpt", "last.ckpt"}
    assert epoch_of(tmp_path / "run" / "best.ckpt") == 2


@pytest.mark.parametrize("interval", [1.0, 0.5])
def test_the_last_checkpoint_is_the_last_state_whatever_its_score(run, tmp_path, interval):
    best = run(tmp_path / "run", 0.9, 0.7, 0.5, val_check_interval=interval)
    assert names(tmp_path / "run") == {"best.ckpt", "last.ckpt"}
    assert epoch_of(best.best_model_path) == 0
    last = torch.load(best.last_model_path, weights_only=True)
    assert (last["epoch"], last["global_step"]) == (2, 30)


def test_a_fit_stopped_within_an_epoch_saves_its_last_state(run, tmp_path):
    best = run(tmp_path / "run", 0.9, 0.7, 0.5, max_steps=17)
    # The score of the first epoch does not count for the weights after it.
    assert torch.load(best.last_model_path, weights_only=True)["global_step"] == 17
    assert epoch_of(best.best_model_path) == 0


def test_a_resumed_run_keeps_the_best_score_in_a_new_folder(run, tmp_path):
    first = run(tmp_path / "first", 0.8, 0.6)
    before = (tmp_path / "first" / "best.ckpt").read_bytes()
    worse = run(tmp_path / "worse", 0.8, 0.6, 0.7, ckpt_path=first.last_model_path)
    assert worse.best_model_path == first.best_model_path
    assert worse.best_model_score == pytest.approx(0.8)
    assert names(tmp_path / "worse") == {"last.ckpt"}
    again = run(tmp_path / "again", 0.8, 0.6, 0.7, 0.75, 0.9, ckpt_path=worse.last_model_path)
    assert again.best_model_path == str(tmp_path / "again" / "best.ckpt")
    assert epoch_of(again.best_model_path) == 4
    assert (tmp_path / "first" / "best.ckpt").read_bytes() == before


def test_a_resumed_run_goes_on_in_its_folder(run, tmp_path, recwarn):
    first = run(tmp_path / "run", 0.8, 0.6)
    run(tmp_path / "run", 0.8, 0.6, 0.7, ckpt_path=first.last_model_path)
    assert epoch_of(tmp_path / "run" / "best.ckpt") == 0
    assert epoch_of(tmp_path / "run" / "last.ckpt") == 2
    run(tmp_path / "run", 0.8, 0.6, 0.7, 0.9, ckpt_path=first.last_model_path)
    assert epoch_of(tmp_path / "run" / "best.ckpt") == 3
    assert names(tmp_path / "run") == {"best.ckpt", "last.ckpt"}


def test_the_best_checkpoint_is_found_in_a_folder_that_was_moved(run, tmp_path):
    run(tmp_path / "first", 0.8, 0.6)
    shutil.move(tmp_path / "first", tmp_path / "moved")
    best = run(tmp_path / "next", 0.8, 0.6, 0.7, ckpt_path=tmp_path / "moved" / "last.ckpt")
    assert best.best_model_path == str(tmp_path / "moved" / "best.ckpt")


@pytest.mark.parametrize("protocol", ["local://", "local::"])
def test_a_resumed_run_removes_nothing_that_its_checkpoint_calls_the_best(run, tmp_path, protocol):
    """Lightning removes the best checkpoint when a better one is saved: a remote one is removed from any folder."""
    last = run(tmp_path / "run", 0.7).last_model_path
    checkpoint = torch.load(last, weights_only=True)
    (state,) = (state for key, state in checkpoint["callbacks"].items() if "BestCheckpoint" in key)
    state["best_model_path"] = f"{protocol}{tmp_path / 'precious'}"
    torch.save(checkpoint, tmp_path / "edited.ckpt")
    (tmp_path / "precious").mkdir()
    with pytest.warns(UserWarning, match="was removed or replaced"):
        run(tmp_path / "again", 0.7, 0.9, ckpt_path=tmp_path / "edited.ckpt")
    assert (tmp_path / "precious").is_dir()


def test_without_the_best_checkpoint_the_next_one_is_the_best(run, tmp_path):
    first = run(tmp_path / "first", 0.8, 0.6)
    (tmp_path / "first" / "best.ckpt").unlink()
    with pytest.warns(UserWarning, match=r"best.ckpt' with the best score so far, 0.8\d*, was removed or replaced"):
        best = run(tmp_path / "next", 0.8, 0.6, 0.7, 0.65, ckpt_path=first.last_model_path)
    assert best.best_model_path == str(tmp_path / "next" / "best.ckpt")
    assert epoch_of(best.best_model_path) == 2


@pytest.mark.filterwarnings("ignore:.*exists and is not empty", "ignore:Be aware that when using `ckpt_path`")
def test_a_later_best_checkpoint_is_not_replaced(run, tmp_path):
    keep = ModelCheckpoint(tmp_path / "all", filename="{epoch}", save_top_k=-1, every_n_epochs=1)
    run(tmp_path / "run", 0.5, 0.6, 0.9, callbacks=[keep])
    assert names(tmp_path / "all") == {"epoch=0.ckpt", "epoch=1.ckpt", "epoch=2.ckpt"}
    with pytest.warns(UserWarning, match="was removed or replaced"):
        best = run(tmp_path / "run", 0.5, 0.6, 0.7, ckpt_path=tmp_path / "all" / "epoch=1.ckpt")
    assert best.best_model_path == str(tmp_path / "run" / "best-v1.ckpt")
    assert torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["epoch"] == 2


def test_another_run_in_the_same_folder_replaces_nothing(run, tmp_path):
    run(tmp_path / "run", 0.8)
    before = {file: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.warns(UserWarning, match="exists and is not empty"):
        run(tmp_path / "run", 0.9)
    assert names(tmp_path / "run") == {"best.ckpt", "last.ckpt", "best-v1.ckpt", "last-v1.ckpt"}
    assert {file: file.read_bytes() for file in before} == before


def test_an_interrupted_write_leaves_the_old_checkpoint(run, tmp_path, monkeypatch):
    first = run(tmp_path / "run", 0.5)
    before = {file: file.read_bytes() for file in (tmp_path / "run").iterdir()}

    def interrupted(checkpoint, file, *_):
        file.write(b"half")
        raise SystemExit("killed")

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(SystemExit, match="killed"), pytest.warns(UserWarning, match="exists and is not empty"):
        run(tmp_path / "run", 0.5, 0.6, ckpt_path=first.last_model_path)
    assert {file: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of a file")
def test_a_full_disk_leaves_the_earlier_checkpoint_and_is_named(tmp_path):
    import resource

    path = tmp_path / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint({"x": torch.ones(1)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*best\.ckpt: File too large; free some space"):
            AtomicCheckpointIO().save_checkpoint({"x": torch.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.load(path, weights_only=True)["x"].numel() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]
