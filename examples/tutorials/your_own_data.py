"""Train on a table of your own: from a csv file and from a pandas frame to a trained model.

    python examples/tutorials/your_own_data.py

The table has one row for each reading of a sensor on a bicycle. The program makes it, so it needs no data. The
model learns from the speed and the shaking of the handlebar what a ride is on: asphalt, cobbles or gravel.
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import torch
from lightning.pytorch import Trainer

from seqkit import Classifier, SequenceDataModule
from seqkit.callbacks import Progress, Summary
from seqkit.cli import main as command_line
from seqkit.data import Files, Frames
from seqkit.nn import GRU

CONFIG = """\
model:
  class_path: seqkit.Classifier
  init_args:
    encoder: {class_path: seqkit.nn.GRU, init_args: {hidden_size: 32, bidirectional: true}}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 1.0e-2}}
data:
  source:
    class_path: seqkit.data.Files
    init_args:
      train: rides.csv
      group: ride
      order: second
      per_sequence: surface
      vectors: {sensors: [speed, shake]}
  inputs: sensors
  targets: surface
  max_tokens: 1024
  test_fraction: 0.2
"""


def rides(count: int, seed: int) -> pandas.DataFrame:
    """Make rides of 10 to 90 seconds. Cobbles shake as much as gravel, but in a rhythm; all shake more at speed."""
    random = np.random.default_rng(seed)
    tables = []
    for ride in range(count):
        second = np.arange(random.integers(10, 91))
        speed = random.uniform(3, 7) + random.normal(0, 0.3, len(second))
        noise = random.normal(0, 0.2, len(second))
        rhythm = 0.28 * np.sin(2 * second + random.uniform(0, 6))
        surface = random.choice(["asphalt", "cobbles", "gravel"])
        shake = speed * {"asphalt": noise / 2, "cobbles": rhythm + noise / 3, "gravel": noise}[surface]
        columns = {"second": second, "speed": speed.round(2), "shake": shake.round(2), "surface": surface}
        tables.append(pandas.DataFrame({"ride": f"r{ride:04}"} | columns))
    return pandas.concat(tables, ignore_index=True)


def with_faults(table: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """Yield what can be wrong with a table, and a table of which it is true."""
    yield "a missing value", table.assign(shake=table["shake"].mask(table.index == 5))
    yield "a row twice", pandas.concat([table, table[7:8]])
    yield "two surfaces in a ride", table.assign(surface=table["surface"].mask(table.index == 3, "sand"))
    yield "a word for a number", table.assign(speed=table["speed"].astype(object).mask(table.index == 2, "fast"))
    yield "another name", table.rename(columns={"second": "seconds"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rides", type=int, default=2000, help="number of rides (default 2000)")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the training rides (default 6)")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with contextlib.chdir(options.output):
        tutorial(options.rides, options.epochs)


def tutorial(count: int, epochs: int) -> None:
    """Run all parts; the files are in the working directory."""
    print("1. The table")
    table = rides(count, seed=0)
    table.to_csv("rides.csv", index=False)
    print(table.head(3).to_string(index=False))

    print("\n2. Sequences")
    form = {
        "group": "ride",
        "order": "second",
        "per_sequence": "surface",
        "vectors": {"sensors": ["speed", "shake"]},
    }
    source = Files(train="rides.csv", **form)
    sequences = source.load()["train"]
    print(f"{len(table):,} rows are {len(sequences):,} rides; the first has {len(sequences[0]['sensors'])} rows")

    print("\n3. Bad rows")
    for fault, wrong in with_faults(table):
        wrong.to_csv("wrong.csv", index=False)
        try:
            SequenceDataModule(Files(train="wrong.csv", **form), "sensors", "surface", max_tokens=1024).setup("fit")
        except ValueError as error:
            print(f"{fault}:\n  {error}")

    print("\n4. Batches")
    Path("rides.yaml").write_text(CONFIG)
    command_line(["inspect", "--config", "rides.yaml", "--picture", "batches.png"])

    print("\n5. Training")
    data = SequenceDataModule(source, inputs="sensors", targets="surface", max_tokens=1024, test_fraction=0.2)
    model = Classifier(
        data.spec,
        encoder=partial(GRU, hidden_size=32, bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[Progress(), Summary()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    trainer.test(model, data)

    print("\n6. New rides, in a frame")
    new = rides(6, seed=6)
    surface = new.pop("surface")  # the model does not see it
    frames = Frames(test=new, group="ride", order="second", vectors=form["vectors"])
    found = model.predict(frames.load()["test"])
    new["predicted"] = frames.per_row("test", [ride["surface"] for ride in found])
    print(new.assign(surface=surface).groupby("ride").first().to_string())


if __name__ == "__main__":
    main()
