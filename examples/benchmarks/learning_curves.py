"""Compare learning curves on random, sorted-pool and planned batches, with equally many steps.

    python examples/benchmarks/learning_curves.py DIR [--output FILE]

Isolates the choice of batches, and then the loss: all contenders train the same model from the same weights on
the same rows, and take equally many steps an epoch. "random" and "sorted pools" (of 50 batches, as transformers'
LengthGroupedSampler) form batches of a fixed number of sequences, "planned, mean loss" those of seqkit under a
budget of tokens; these three minimise the mean of each batch. "planned" is the default of seqkit: the same
planned batches, and the sum of the loss divided by a constant. ``DIR`` holds en_ewt-ud-{train,dev}.conllu of
English-EWT and JapaneseVowels_TRAIN.ts, of which half the rows are held out; the files may be gzipped and in
subfolders.
"""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from measuring import find, options, setting, write_json
from sections.markdown import spread
from torch.utils.data import DataLoader, Sampler

from seqkit import Classifier, SequenceDataModule, Tagger
from seqkit.batch import Batch
from seqkit.cli import without_noise
from seqkit.data import CoNLL, LengthBucketSampler, TimeSeries, Words
from seqkit.nn import GRU, LSTM, Embedding, MeanPool

CONTENDERS = ("random", "sorted pools", "planned, mean loss", "planned")
POOL = 50  # batches


class FixedSize(Sampler[list[int]]):
    """Yield batches of equally many rows, drawn at random or from pools of 50 batches sorted by length."""

    def __init__(self, lengths: np.ndarray, batch_size: int, *, pools: bool, seed: int) -> None:
        self.lengths, self.batch_size, self.pools = lengths, batch_size, pools
        self.generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rows = self.generator.permutation(len(self.lengths))
        if self.pools:
            size = self.batch_size * POOL
            pools = [rows[start : start + size] for start in range(0, len(rows), size)]
            rows = np.concatenate([pool[np.argsort(-self.lengths[pool], kind="stable")] for pool in pools])
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            yield batch[np.argsort(-self.lengths[batch], kind="stable")].tolist()


class WithoutMeans(Sampler[list[int]]):
    """Yield the planned batches, but give no mean number of tokens: tasks then take the mean of each batch."""

    def __init__(self, plan: LengthBucketSampler) -> None:
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plan)

    def set_epoch(self, epoch: int) -> None:
        """Plan another epoch."""
        self.plan.set_epoch(epoch)


class Data(SequenceDataModule):
    """The data module with the training batches of a contender."""

    contender = "planned"

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the training batches, equally many for each contender."""
        planned = super().train_dataloader()
        if self.contender == "planned":
            return planned
        rows = planned.dataset
        if self.contender == "planned, mean loss":
            sampler: Sampler[list[int]] = WithoutMeans(planned.sampler)
        else:
            size = round(planned.sampler.sequences_per_step)
            sampler = FixedSize(rows.lengths, size, pools=self.contender == "sorted pools", seed=self.seed)
        return DataLoader(rows, sampler=sampler, batch_size=None, collate_fn=lambda batch: batch)


class Curve(Callback):
    """Record the validation accuracy after each epoch."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.accuracy: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Record the number of steps and the accuracy."""
        self.steps.append(trainer.global_step)
        self.accuracy.append(100 * float(trainer.callback_metrics["val_accuracy"]))


def ewt(folder: Path, seed: int) -> tuple[Data, LightningModule]:
    """Return the data and the model of a BiLSTM tagger of words."""
    train, dev = (str(find(folder, f"en_ewt-ud-{split}.conllu")) for split in ("train", "dev"))
    source = CoNLL(train=train, validation=dev)
    data = Data(source, {"form": Words(min_frequency=2)}, "upos", max_tokens=512, seed=seed)
    model = partial(
        Tagger,
        embedding=partial(Embedding, embedding_dim=100),
        encoder=partial(LSTM, hidden_size=200, bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=2e-3),
    )
    return data, model(data.spec)


def vowels(folder: Path, seed: int) -> tuple[Data, LightningModule]:
    """Return the data and the model of a BiGRU classifier of series; a seed holds out half of the rows."""
    source = TimeSeries(train=str(find(folder, "JapaneseVowels_TRAIN.ts")))
    data = Data(source, "series", "label", max_sequences=16, validation_fraction=0.5, seed=seed)
    model = partial(
        Classifier,
        encoder=partial(GRU, hidden_size=64, bidirectional=True),
        pooling=MeanPool,
        optimizer=partial(torch.optim.Adam, lr=3e-3),
    )
    return data, model(data.spec)


TASKS = {"ewt": ewt, "vowels": vowels}


@without_noise()
def fit(task: str, folder: Path, contender: str, seed: int, epochs: int) -> dict[str, list[float]]:
    """Return one learning curve."""
    seed_everything(seed, verbose=False)
    data, model = TASKS[task](folder, seed)
    data.contender = contender
    curve = Curve()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[curve],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, datamodule=data)
    return {"steps": curve.steps, "accuracy": curve.accuracy}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit everything and print the final accuracies."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, help="by default 4 (ewt) or 30 (vowels)")
    given = parser.parse_args(arguments)
    every: dict[str, dict[str, dict[str, Any]]] = {}
    for task in given.tasks:
        epochs = given.epochs or {"ewt": 4, "vowels": 30}[task]
        curves = every[task] = {contender: {} for contender in CONTENDERS}
        for seed in given.seeds:
            for contender in CONTENDERS:
                curves[contender][str(seed)] = fit(task, given.folder, contender, seed, epochs)
        for contender, seeds in curves.items():
            finals = [curve["accuracy"][-1] for curve in seeds.values()]
            steps = statistics.mean(curve["steps"][-1] for curve in seeds.values())
            print(f"{task:8} {contender:20} {spread(finals, 2)} after {steps:.0f} steps")
    report = setting("datasets") | {"curves": every}
    write_json(given.output, report)
    return report


if __name__ == "__main__":
    main()
