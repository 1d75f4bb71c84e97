"""Draw learning curves of random, sorted-pool and planned batches, with equally many steps.

    python examples/benchmarks/learning_curves.py ewt DIR --output curves.json --picture curves.png
    python examples/benchmarks/learning_curves.py vowels DIR --output curves.json --picture curves.png

``DIR`` holds English-EWT's en_ewt-ud-{train,dev}.conllu[.gz], or JapaneseVowels_TRAIN.ts, of which half the rows
are held out. All contenders train the same model from the same weights on the same rows, and take equally many
steps an epoch. "random" and "sorted pools" (of 50 batches, as transformers' LengthGroupedSampler) form batches of a
fixed number of sequences and minimise the mean of each batch. "planned" is the default of seqkit: a budget of
tokens, and the sum of the loss divided by a constant. Fits that the JSON file already has are not repeated.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from measuring import options, setting, write_json
from torch.utils.data import DataLoader, Sampler

from seqkit import Classifier, SequenceDataModule, Tagger
from seqkit.batch import Batch
from seqkit.data import CoNLL, TimeSeries, Words
from seqkit.nn import GRU, LSTM, Embedding, MeanPool

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CONTENDERS = ("random", "sorted pools", "planned")
POOL = 50  # batches
TITLES = {"ewt": "UPOS tagging, English-EWT", "vowels": "Speaker classification, JapaneseVowels"}


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


class Data(SequenceDataModule):
    """The data module with the training batches of a contender."""

    contender = "planned"

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the training batches, equally many for each contender."""
        planned = super().train_dataloader()
        if self.contender == "planned":
            return planned
        rows = planned.dataset
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
    source = CoNLL(
        train=str(next(folder.glob("*-train.conllu*"))), validation=str(next(folder.glob("*-dev.conllu*")))
    )
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
    source = TimeSeries(train=str(folder / "JapaneseVowels_TRAIN.ts"))
    data = Data(source, "series", "label", max_sequences=16, validation_fraction=0.5, seed=seed)
    model = partial(
        Classifier,
        encoder=partial(GRU, hidden_size=64, bidirectional=True),
        pooling=MeanPool,
        optimizer=partial(torch.optim.Adam, lr=3e-3),
    )
    return data, model(data.spec)


TASKS = {"ewt": ewt, "vowels": vowels}


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


def draw(found: dict[str, Any], picture: Path) -> None:
    """Draw the mean over the seeds, with a band of one standard error, one panel for each task."""
    figure, axes = plt.subplots(1, len(found), figsize=(5.2 * len(found), 3.6), squeeze=False)
    for axis, (task, curves) in zip(axes[0], found.items(), strict=True):
        for contender, seeds in curves.items():
            accuracy = np.array([curve["accuracy"] for curve in seeds.values()])
            steps = np.mean([curve["steps"] for curve in seeds.values()], 0)
            mean, error = accuracy.mean(0), accuracy.std(0) / np.sqrt(len(accuracy))
            (line,) = axis.plot(steps, mean, label=contender, marker="." if len(steps) < 20 else None)
            axis.fill_between(steps, mean - error, mean + error, alpha=0.2, color=line.get_color(), linewidth=0)
        axis.set(title=TITLES[task], xlabel="steps", ylabel="validation accuracy (%)")
        finals = [curve["accuracy"][-1] for seeds in curves.values() for curve in seeds.values()]
        starts = [curve["accuracy"][0] for seeds in curves.values() for curve in seeds.values()]
        axis.set_ylim(bottom=max(np.median(starts), min(finals) - 12))
        axis.grid(alpha=0.3)
        axis.legend(title=f"batches (mean of {len(next(iter(curves.values())))} seeds)")
    figure.tight_layout()
    figure.savefig(picture, dpi=150)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit what the JSON file does not have, print the final accuracies and draw the picture."""
    parser = options(__doc__)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--epochs", type=int, help="by default 4 (ewt) or 30 (vowels)")
    parser.add_argument("--picture", type=Path, help="a PNG file of all curves in the JSON file")
    given = parser.parse_args(arguments)
    epochs = given.epochs or {"ewt": 4, "vowels": 30}[given.task]
    known = given.output is not None and given.output.exists()
    report = json.loads(given.output.read_text()) if known else {"curves": {}}
    curves = report["curves"].setdefault(given.task, {})
    for seed in given.seeds:
        for contender in given.contenders:
            seeds = curves.setdefault(contender, {})
            if str(seed) not in seeds:
                seeds[str(seed)] = fit(given.task, given.folder, contender, seed, epochs)
                report |= setting()
                write_json(given.output, report)
    for contender, seeds in curves.items():
        finals = [curve["accuracy"][-1] for curve in seeds.values()]
        spread = statistics.stdev(finals) if len(finals) > 1 else 0.0
        steps = statistics.mean(curve["steps"][-1] for curve in seeds.values())
        print(
            f"{given.task:8} {contender:14} {statistics.mean(finals):6.2f} ± {spread:.2f} after {steps:.0f} steps"
        )
    if given.picture is not None:
        draw(report["curves"], given.picture)
    return report


if __name__ == "__main__":
    main()
