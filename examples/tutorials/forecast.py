"""Forecast the next ten cycles of engines, compare with forecasts that need no model, and watch an engine live.

    python examples/tutorials/forecast.py TRAIN TEST

The files are train_FD001.txt and test_FD001.txt of NASA's C-MAPSS data. They may be gzipped.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seqkit import Forecaster, SequenceDataModule
from seqkit.callbacks import Progress, Summary
from seqkit.data import CMAPSS
from seqkit.nn import GRU
from seqkit.optim import WarmupCosine

HORIZON = 10
SENSORS = [4, 5, 6, 9, 10, 11, 13, 14, 15, 16, 17, 19, 22, 23]  # the channels that change as an engine wears
PRESSURE = 13  # one of them: the pressure behind the compressor, in psi

Floats = NDArray[Any]


def cut(engines: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """Cut engines at every tenth cycle from the 30th: the cycles known by then, and the HORIZON ones after them."""
    places = [(engine, now) for engine in engines for now in range(30, len(engine) - HORIZON, 10)]
    known = [engine[:now] for engine, now in places]
    return known, np.stack([engine[now : now + HORIZON] for engine, now in places])  # (P, HORIZON, 24)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="the training file")
    parser.add_argument("test", help="the test file")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the training file (default 8)")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    print("1. The data")
    source = CMAPSS(train=options.train, test=options.test)
    splits = source.load()
    for name, split in splits.items():
        lengths = [len(channels) for channels in split["channels"]]
        print(f"{name}: {len(split)} engines, {min(lengths)} to {max(lengths)} cycles of 24 channels")
    data = SequenceDataModule(source, inputs="channels", max_tokens=512)
    learned = data.spec["inputs"]["channels"]["init_args"]
    print(f"pressure: mean {learned['mean'][PRESSURE]:.2f}, standard deviation {learned['std'][PRESSURE]:.3f}")

    print("\n2. Training")
    model = Forecaster(
        data.spec,
        horizon=HORIZON,
        per_horizon=True,
        encoder=partial(GRU, hidden_size=64),
        optimizer=partial(torch.optim.Adam, lr=3e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0.1),
    )
    trainer = Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        callbacks=[Progress(), Summary()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)

    print("\n3. The error by step ahead")
    engines = [np.array(channels) for channels in splits["test"]["channels"]]
    known, following = cut(engines)
    forecasts = {
        "model": np.array([row["channels"] for row in model.predict(known)]),  # (P, HORIZON, 24)
        "last value": np.stack([cycles[-1:] for cycles in known]),
        "mean of last 10": np.stack([cycles[-10:].mean(0, keepdims=True) for cycles in known]),
    }
    errors = {}
    for name, values in forecasts.items():
        scaled = ((values - following) / learned["std"])[:, :, SENSORS]
        errors[name] = np.sqrt((scaled**2).mean((0, 2)))  # (HORIZON,)
    print(f"{'cycles ahead':16}" + "".join(f"{ahead:7}" for ahead in (1, 2, 5, 10)))
    for name, values in errors.items():
        print(f"{name:16}" + "".join(f"{values[ahead - 1]:7.3f}" for ahead in (1, 2, 5, 10)))
    draw_errors(errors).savefig(options.output / "errors.png", dpi=120)

    print("\n4. Live")
    engine = max(engines, key=len)
    stream = model.stream()
    live = {}
    for cycle in engine:
        ahead = np.array(stream.push([cycle])["channels"])[:, PRESSURE]
        (now,) = stream.lengths
        if now % 50 == 0:
            live[now] = ahead
            print(f"cycle {now}: pressure {cycle[PRESSURE]:.2f}, in {HORIZON} cycles {ahead[-1]:.2f}")
    draw_live(engine[:, PRESSURE], live).savefig(options.output / "live.png", dpi=120)
    whole = np.array(model.predict([engine])[0]["channels"])[:, PRESSURE]
    print("as from the whole series at once:", np.allclose(ahead, whole, rtol=1e-4))


def draw_errors(errors: dict[str, Floats]) -> Figure:
    """Draw the errors by step ahead."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for name, values in errors.items():
        axes.plot(range(1, HORIZON + 1), values, marker="o", label=name)
    axes.set(xlabel="cycles ahead", ylabel="error in standard deviations", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def draw_live(measured: Floats, live: dict[int, Floats]) -> Figure:
    """Draw a channel, and the forecasts that were made after some of its cycles."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(measured) + 1), measured, color="silver", label="measured")
    for now, ahead in live.items():
        axes.plot(range(now + 1, now + HORIZON + 1), ahead, color="tab:blue", linewidth=3)
        axes.axvline(now, color="tab:blue", linewidth=0.6, linestyle=":")
    axes.set(xlabel="cycle", ylabel="pressure, psi")
    return figure


if __name__ == "__main__":
    main()
