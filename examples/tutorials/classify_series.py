"""Classify series of several channels and of different lengths: which of nine speakers says a vowel?

    python examples/tutorials/classify_series.py TRAIN TEST

The files have the format .ts: JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts of the UEA archive, or those of
another data set with labels. They may be gzipped.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from lightning.pytorch import Callback, Trainer
from matplotlib.figure import Figure
from torch import nn

from seqkit import Classifier, SequenceDataModule
from seqkit.callbacks import Progress, Report, Summary
from seqkit.data import TimeSeries
from seqkit.losses import CrossEntropy
from seqkit.nn import GRU, AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.optim import WarmupCosine


def fit(
    data: SequenceDataModule, pooling: type[nn.Module], epochs: int, *callbacks: Callback
) -> tuple[Classifier, Trainer]:
    """Train a classifier with this pooling."""
    torch.manual_seed(0)
    model = Classifier(
        data.spec,
        encoder=partial(GRU, hidden_size=96, bidirectional=True),
        pooling=pooling,
        loss=partial(CrossEntropy, label_smoothing=0.1),
        dropout=0.3,
        optimizer=partial(torch.optim.AdamW, lr=3e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0),
    )
    trainer = Trainer(
        max_epochs=epochs,
        gradient_clip_val=1.0,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_val_batches=0,
        enable_progress_bar=bool(callbacks),
    )
    trainer.fit(model, data)
    return model, trainer


def accuracy(model: Classifier, test: Dataset, steps: int | None = None) -> float:
    """Return the share of series that the model classifies right from their first steps, by default from all."""
    names = test.features["label"].names
    found = model.predict([series[:steps] for series in test["series"]])
    right = [row["label"] == names[label] for row, label in zip(found, test["label"], strict=True)]
    return sum(right) / len(right)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="the training file")
    parser.add_argument("test", help="the test file")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the training file (default 25)")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    print("1. The data")
    source = TimeSeries(train=options.train, test=options.test)
    splits = source.load()
    for name, split in splits.items():
        lengths = [len(series) for series in split["series"]]
        print(f"{name}: {len(split)} series of {min(lengths)} to {max(lengths)} steps")
    draw_series(splits["train"]).savefig(options.output / "series.png", dpi=120)

    print("\n2. Standardisation")
    data = SequenceDataModule(source, inputs="series", targets="label", max_sequences=16, validation_fraction=0)
    learned = data.spec["inputs"]["series"]["init_args"]
    for channel in range(3):
        print(f"channel {channel}: mean {learned['mean'][channel]:6.3f}, deviation {learned['std'][channel]:.3f}")
    batch = data.rows("train")[[0, 1, 2]].inputs["series"]
    print(f"a batch of three series: {tuple(batch.data.shape)}, series in each step {batch.batch_sizes.tolist()}")

    print("\n3. Pooling")
    for pooling in (MaxPool, MeanPool, AttentionPool):
        model, _ = fit(data, pooling, options.epochs)
        print(f"{pooling.__name__}: test accuracy {accuracy(model, splits['test']):.4f}")

    print("\n4. The report")
    model, trainer = fit(
        data, LastPool, options.epochs, Progress(), Summary(), Report(worst=3, folder=str(options.output))
    )
    trainer.test(model, data)

    print("\n5. The first steps")
    for steps in (2, 4, 6, 8, 12, 16):
        print(f"first {steps:2} steps: test accuracy {accuracy(model, splits['test'], steps):.4f}")
    found = model.predict(splits["test"][0]["series"], scores=True)
    print("first series:", {name: round(score, 3) for name, score in found["label_scores"].items()})


def draw_series(train: Dataset, channels: int = 4) -> Figure:
    """Draw the first channels of the first series of up to three speakers."""
    labels = train["label"][:]
    shown = sorted(set(labels))[:3]
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    for axes, label in zip(figure.subplots(1, len(shown), sharey=True), shown, strict=True):
        axes.plot(np.array(train["series"][labels.index(label)])[:, :channels])
        axes.set(title=f"speaker {train.features['label'].names[label]}", xlabel="time step")
    return figure


if __name__ == "__main__":
    main()
