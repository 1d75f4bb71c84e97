"""Small fits that are interrupted at every moment and resumed; each must end as the uninterrupted one, bit for bit.

As a script: ``python cases.py FOLDER DEVICES JOBS`` runs a list of keyword arguments of :func:`check`.
"""

import json
import os
import random
import shutil
import sys
from functools import partial
from pathlib import Path

import datasets
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from seqkit import LanguageModel, SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint, EarlyStop
from seqkit.data import Continuous
from seqkit.nn import CRF, GRU, LSTM, Embedding
from seqkit.optim import Plateau, WarmupCosine

EPOCHS = 3
TASKS = ["dropout", "crf", "text", "stream"]


def rows(count, seed):
    draw = random.Random(seed)
    words = [[draw.choice("abcdefgh") for _ in range(draw.randint(1, 7))] for _ in range(count)]
    # The tags are partly noise, so that scores go up and down.
    tags = [[draw.choice("xy") if draw.random() < 0.4 else "xy"[word < "d"] for word in row] for row in words]
    return datasets.Dataset.from_dict({"words": words, "tags": tags})


def build(task, ranks, workers, **options):
    """Return a model and its data; about five steps an epoch on any number of ranks."""
    splits = datasets.DatasetDict(train=rows(24, 0), validation=rows(9, 1))
    parts = {"embedding": partial(Embedding, embedding_dim=4), "optimizer": partial(torch.optim.Adam, lr=0.05)}
    torch.manual_seed(1)
    if task == "text":
        continuous = Continuous(batch_size=4, bptt=6, deviation=1.0, evaluation_batch_size=2)
        data = SequenceDataModule(splits, "words", continuous=continuous, num_workers=workers)
        encoder = partial(LSTM, hidden_size=4)
        return LanguageModel(data.spec, encoder=encoder, input_dropout=0.3, **parts, **options), data
    budget = {"max_tokens": 24 // ranks, "num_workers": workers}
    if task == "stream":
        splits = datasets.IterableDatasetDict({name: part.to_iterable_dataset(2) for name, part in splits.items()})
        data = SequenceDataModule(splits, "words", "tags", pool=8, **budget)
    else:
        data = SequenceDataModule(splits, "words", "tags", **budget)
    if task == "crf":
        options |= {"decoder": CRF, "lr_scheduler": partial(Plateau, patience=0)}
    if task == "dropout":
        options |= {"lr_scheduler": partial(WarmupCosine, warmup=2)}
    encoder = partial(GRU, hidden_size=4, bidirectional=True, num_layers=2, dropout=0.4)
    return Tagger(data.spec, encoder=encoder, dropout=0.2, **parts, **options), data


class SaveEverywhere(Checkpoint):
    """Save at each moment, with the best checkpoint of that moment beside; after the other callbacks."""

    def __init__(self, folder):
        self.folder = folder
        self.saved = []

    def save(self, trainer, moment):
        if trainer.sanity_checking:
            return
        self.saved.append(f"{moment}-{trainer.global_step}")
        folder = self.folder / self.saved[-1]
        trainer.save_checkpoint(folder / "state.ckpt")
        best = trainer.checkpoint_callback.best_model_path
        if best and trainer.is_global_zero:
            shutil.copy(best, folder)

    def on_train_batch_end(self, trainer, *_):
        self.save(trainer, "step")

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.save(trainer, f"validating-{batch_idx}")

    def on_validation_end(self, trainer, *_):
        self.save(trainer, "validated")

    def on_train_epoch_end(self, trainer, *_):
        self.save(trainer, "epoch")


class Seen(Callback):
    """Record the rows of each training batch."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.rows.append((trainer.current_epoch, batch_idx, batch.rows.tolist()))


def fit(save, task, ranks, workers, *, resume=None, check=1.0, max_steps=-1):
    """Fit, with checkpoints in a folder, and return the trainer, its batches and the names of the checkpoints."""
    model, data = build(task, ranks, workers)
    seen, saving = Seen(), SaveEverywhere(save)
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        max_epochs=EPOCHS,
        max_steps=max_steps,
        val_check_interval=check,
        callbacks=[seen, EarlyStop(patience=50), BestCheckpoint(dirpath=str(save / "best")), saving],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=save,
    )
    torch.manual_seed(5 + trainer.global_rank)
    trainer.fit(model, data, ckpt_path=resume, weights_only=True if resume else None)
    return trainer, seen.rows, saving.saved


def end_of(trainer):
    """Return everything on which a resumed run must agree."""
    return {
        "steps": trainer.global_step,
        "epoch": trainer.current_epoch,
        "weights": trainer.lightning_module.state_dict(),
        "optimizer": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "best": trainer.checkpoint_callback.best_model_score,
        "best exists": Path(trainer.checkpoint_callback.best_model_path).is_file(),
        "early stopping": trainer.early_stopping_callback.state_dict(),
    }


def state_of(checkpoint):
    """Return what a checkpoint keeps, except paths, Lightning's counters and equivalent positions in a file."""
    saved = torch.load(checkpoint, weights_only=True)
    data, callbacks = dict(saved["SequenceDataModule"]), saved["callbacks"]
    data.pop("position", None)
    stopping = {key: value for key, value in callbacks.items() if key.startswith("EarlyStop")}
    kept = {key: value for key, value in saved.items() if key not in ("loops", "callbacks", "SequenceDataModule")}
    return kept | {"data": data, "stopping": stopping}


def differences(one, two, path=""):
    """Return the paths at which two nested values differ."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [] if one.shape == two.shape and torch.equal(one, two) else [path]
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [found for key in one for found in differences(one[key], two[key], f"{path}.{key}")]
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        pairs = enumerate(zip(one, two, strict=True))
        return [found for number, pair in pairs for found in differences(*pair, f"{path}.{number}")]
    return [] if one == two else [f"{path}: {one!r} is {two!r}"]


def check(folder, task, ranks, workers, *, every=1, first=0, **options):
    """Interrupt a fit at its checkpoints, from number ``first`` on each ``every``-th, and resume it, twice.

    Returns:
        By checkpoint, how the resumed runs and their checkpoints differ from the uninterrupted one.
    """
    run = partial(fit, task=task, ranks=ranks, workers=workers, **options)
    trainer, rows, saved = run(folder / "whole")
    expected, found = end_of(trainer), {}
    # A checkpoint of the last epoch's end, or of the last step of a limit, leaves a resumed fit nothing to do.
    done = (saved[-1], f"step-{options.get('max_steps')}")
    for number, name in [cut for cut in enumerate(saved) if cut[1] not in done][first::every]:
        resumed, tail, moments = run(folder / name, resume=folder / "whole" / name / "state.ckpt")
        # An interrupted validation begins again.
        moment, step = name.rsplit("-", 1)
        validating = moment.startswith("validating")
        left = saved[saved.index(f"validating-0-{step}") if validating else number + 1 :]
        wrong = differences(expected, end_of(resumed)) + differences([rows[int(step) :], left], [tail, moments])
        for moment in moments if moments == left else []:
            pair = [state_of(folder / part / moment / "state.ckpt") for part in ("whole", name)]
            wrong += differences(*pair, moment)
        later = [moment for moment in moments if moment not in done]
        if later:
            again = later[number % len(later)]
            resumed, _, _ = run(folder / f"{name} {again}", resume=folder / name / again / "state.ckpt")
            wrong += differences(expected, end_of(resumed), f"again from {again}")
        if wrong:
            found[name] = wrong
    return found


if __name__ == "__main__":
    folder, devices, jobs = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    for number, job in enumerate(jobs):
        found = check(folder / str(number), ranks=devices, **job)
        rank = os.environ.get("LOCAL_RANK", "0")
        (folder / f"{number}-{rank}.json").write_text(json.dumps(found))
