"""The remaining useful life of engines, predicted again with every cycle that arrives.

    python examples/live_engine.py
    python examples/live_engine.py --checkpoint best.ckpt --engines test_FD001.txt --rul RUL_FD001.txt

Without options it trains a small model on generated engines first. With a checkpoint of ``configs/cmapss_rul.yaml``
it reads engines of C-MAPSS, and with their remaining lives it prints the mean error. Four engines are watched at a
time; when the series of one ends, the next one takes its place. The model reads each cycle once: it keeps its state
between two cycles.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import torch
from lightning.pytorch import Trainer

from seqkit import Regressor, SequenceDataModule
from seqkit.data import CMAPSS
from seqkit.nn import GRU

WATCHED = 4  # engines at a time
EVERY = 20  # cycles between two lines of the output


class Reading(NamedTuple):
    """A prediction: the engine, the number of its cycles so far, and their remaining number as predicted."""

    engine: int
    cycle: int
    remaining: float


def wearing(engines: int, seed: int) -> datasets.Dataset:
    """Make engines that run until they fail.

    Args:
        engines: Number of engines.
        seed: The seed of the generator.

    Returns:
        Columns ``channels``, three sensors per cycle, and ``rul``, the number of remaining cycles, at most 60.
    """
    random = np.random.default_rng(seed)
    channels, rul = [], []
    for life in random.integers(50, 130, engines):
        remaining = np.arange(life - 1, -1, -1)
        wear = np.exp(-remaining / 15)
        drift = np.stack([500 + 20 * wear, 8 - 3 * wear, 40 + np.zeros(life)], axis=1)
        channels.append((drift + random.normal(size=(life, 3)) * [2.0, 0.3, 5.0]).tolist())
        rul.append(np.minimum(remaining, 60).astype(float).tolist())
    return datasets.Dataset.from_dict({"channels": channels, "rul": rul})


def train(engines: int, epochs: int) -> Regressor:
    """Train a model that reads forward only on generated engines."""
    data = SequenceDataModule(wearing(engines, 0), inputs="channels", targets="rul", max_tokens=2048)
    model = Regressor(
        data.spec, encoder=partial(GRU, hidden_size=32), causal=True, optimizer=partial(torch.optim.Adam, lr=1e-2)
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(model, data)
    return model


def watch(model: Regressor, engines: Sequence[Sequence[Sequence[float]]]) -> Iterator[list[Reading]]:
    """Yield the predictions of each cycle, for all engines that are watched.

    Args:
        model: The model; its one target is the remaining life.
        engines: The cycles of each engine, as they arrive.
    """
    stream = model.stream(batch_size=WATCHED)
    waiting = iter(range(len(engines)))
    places: list[int | None] = [next(waiting, None) for _ in range(WATCHED)]
    while any(engine is not None for engine in places):
        new = [
            None if engine is None else [engines[engine][read]]
            for engine, read in zip(places, stream.lengths, strict=True)
        ]
        found = stream.push(new)
        yield [
            Reading(engine, read, output[model.target_column][0])
            for engine, read, output in zip(places, stream.lengths, found, strict=True)
            if engine is not None
        ]
        for place, engine in enumerate(places):
            if engine is not None and stream.lengths[place] == len(engines[engine]):
                places[place] = next(waiting, None)
                stream.reset(rows=[place])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint of configs/cmapss_rul.yaml")
    parser.add_argument("--engines", type=Path, help="a file of C-MAPSS, such as test_FD001.txt")
    parser.add_argument("--rul", type=Path, help="their remaining lives, such as RUL_FD001.txt")
    parser.add_argument("--rows", type=int, default=60, help="number of generated engines to learn from")
    parser.add_argument("--epochs", type=int, default=15, help="passes over them")
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) != (options.engines is None):
        parser.error("give both --checkpoint and --engines, or neither")
    if options.checkpoint:
        model = Regressor.load_from_checkpoint(options.checkpoint, map_location="cpu", weights_only=True)
        rows = CMAPSS(test=str(options.engines), rul=options.rul and str(options.rul)).load()["test"]
    else:
        torch.manual_seed(0)
        model = train(options.rows, options.epochs)
        rows = wearing(8, seed=1)
    lives = rows["rul"][:] if "rul" in rows.column_names else None
    errors = []
    for number, readings in enumerate(watch(model, rows["channels"][:])):
        if number % EVERY == 0:
            shown = (f"engine {r.engine + 1}, cycle {r.cycle}: {r.remaining:.0f} left" for r in readings)
            print("; ".join(shown))
        if lives is not None:
            errors += [abs(r.remaining - lives[r.engine][r.cycle - 1]) for r in readings]
    if errors:
        print(f"mean absolute error: {statistics.mean(errors):.1f} cycles")


if __name__ == "__main__":
    main()
