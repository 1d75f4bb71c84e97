"""Train on a table of sensor readings, one row a reading, and put predictions back into the table as a column.

python examples/your_data.py
python examples/your_data.py --machines 400 --epochs 6
"""

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas
from lightning.pytorch import Trainer
from torch.optim import Adam

from seqkit import Regressor, SequenceDataModule
from seqkit.data import Frames
from seqkit.nn import LSTM


def readings(machines: int, seed: int = 0) -> pandas.DataFrame:
    """Make the readings of machines over 10 to 60 hours, in no order. Wear grows with load, and heat hides it.

    Args:
        machines: Number of machines.
        seed: The seed of the generator.

    Returns:
        Columns ``machine``, ``hour``, ``load``, ``temperature`` and ``wear``, one row an hour.
    """
    random = np.random.default_rng(seed)
    tables = []
    for machine in range(machines):
        load = random.random(int(random.integers(10, 61)))
        wear = np.cumsum(load) / 10
        temperature = 20 + 30 * load + random.normal(size=len(load))
        columns = {"hour": np.arange(len(load)), "load": load, "temperature": temperature, "wear": wear}
        tables.append(pandas.DataFrame({"machine": f"M{machine:03}"} | columns))
    return pandas.concat(tables).sample(frac=1, random_state=seed, ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=100, help="number of machines (default 100)")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the data (default 12)")
    options = parser.parse_args(arguments)

    table = readings(options.machines)
    is_new = table["machine"].str.endswith("0")  # every tenth machine
    source = Frames(
        train=table[~is_new],
        test=table[is_new],
        group="machine",
        order="hour",
        vectors={"sensors": ["load", "temperature"]},
    )
    data = SequenceDataModule(source, inputs="sensors", targets="wear", max_tokens=128)
    model = Regressor(data.spec, encoder=partial(LSTM, hidden_size=32), optimizer=partial(Adam, lr=1e-2))
    trainer = Trainer(max_epochs=options.epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)

    new = table[is_new].copy()
    predictions = model.predict(source.load()["test"])
    new["predicted"] = source.per_row("test", [row["wear"] for row in predictions])
    print(new.sort_values(["machine", "hour"]).head(12).to_string(index=False))
    error = np.sqrt(np.mean((new["predicted"] - new["wear"]) ** 2))
    print(f"root mean square error {error:.3f}; of the mean wear {np.std(new['wear']):.3f}")


if __name__ == "__main__":
    main()
