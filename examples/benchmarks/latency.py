"""Measure the time of one step of a stream: from the raw values of a cycle to a number.

    python examples/benchmarks/latency.py [--repeats 30] [--output FILE]

The model reads 24 standardised channels by an LSTM and predicts one number a step. Contenders, for 1 and 16
sequences: ``stream.push`` of one step each; one step of ``torch.nn.LSTM`` with standardisation and head written by
hand; the whole prefix again, by ``predict`` from raw values and by the bare forward on a packed batch. Numbers are
compared before anything is timed. Contenders run in turns in one process, and medians are reported.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from measuring import in_turns, medians, options, setting, write_json
from sections.latency import latency_table
from torch import nn

from seqkit import Regressor, SequenceDataModule, packed
from seqkit.nn import LSTM

CHANNELS = 24
STEPS = 20  # of a stream and of torch's layer, between two readings of the clock
PUSH, STOCK, AGAIN, FORWARD = "stream.push", "nn.LSTM, by hand", "predict on the prefix", "forward on the prefix"

Numbers = list[float]


def untrained(units: int, layers: int) -> Regressor:
    """Return a model with statistics of random data."""
    random = np.random.default_rng(0)
    rows = {"x": random.normal(5, 3, (4, 20, CHANNELS)).tolist(), "y": random.normal(60, 20, (4, 20)).tolist()}
    data = SequenceDataModule(Dataset.from_dict(rows), "x", "y", max_tokens=100, validation_fraction=0)
    torch.manual_seed(0)
    return Regressor(data.spec, encoder=partial(LSTM, hidden_size=units, num_layers=layers), causal=True).eval()


class ByHand:
    """The steps of a model in plain torch, with the state kept between them."""

    def __init__(self, model: Regressor) -> None:
        encoder: Any = model.encoder
        self.lstm = nn.LSTM(CHANNELS, encoder.hidden_size, encoder.num_layers).eval()
        self.lstm.load_state_dict(encoder.state_dict())
        self.head, self.target = model.head, model.standardization
        moments = model.spec["inputs"]["x"]["init_args"]
        self.mean, self.std = torch.tensor(moments["mean"]), torch.tensor(moments["std"])
        self.state: Any = None

    @torch.inference_mode()
    def push(self, steps: Sequence[Sequence[float]]) -> Numbers:
        """Read one step of each sequence."""
        hidden, self.state = self.lstm(((torch.tensor(steps) - self.mean) / self.std)[None], self.state)
        return self.target.restore(self.head(hidden[0]))[:, 0].tolist()


def contenders(model: Regressor, series: np.ndarray) -> dict[str, Callable[[], Numbers]]:
    """Return functions that give the number at the last step of each prefix; the first two also read one more step.

    Args:
        model: The model.
        series: (B, T, D) the prefixes.
    """
    prefixes = series.tolist()
    stream, stock = model.stream(batch_size=len(series)), ByHand(model)
    stream.push([prefix[:-1] for prefix in prefixes])
    for step in range(len(prefixes[0]) - 1):
        stock.push([prefix[step] for prefix in prefixes])
    last = [prefix[-1] for prefix in prefixes]
    normalised = (torch.from_numpy(series).float() - stock.mean) / stock.std
    batch = {"x": packed.pack(list(normalised), enforce_sorted=True)}

    def push() -> Numbers:
        return [output["y"][0] for output in stream.push([[step] for step in last])]

    def again() -> Numbers:
        return [output["y"][-1] for output in model.predict(prefixes)]

    @torch.inference_mode()
    def forward() -> Numbers:
        return packed.last(model.decode(model(batch)))[:, 0].tolist()

    return {PUSH: push, STOCK: lambda: stock.push(last), AGAIN: again, FORWARD: forward}


def measure(units: int, layers: int, sequences: int, prefix: int, repeats: int) -> dict[str, Any]:
    """Return the milliseconds of a step by contender."""
    model = untrained(units, layers)
    functions = contenders(model, np.random.default_rng(1).normal(5, 3, (sequences, prefix, CHANNELS)))
    found = {name: function() for name, function in functions.items()}
    for name, numbers in found.items():
        if not np.allclose(numbers, found[STOCK], rtol=1e-5, atol=1e-3):
            raise SystemExit(f"{name} gives other numbers, so the times cannot be compared")

    def several(function: Callable[[], Numbers]) -> None:
        for _ in range(STEPS):
            function()

    counts = {name: STEPS if name in (PUSH, STOCK) else 1 for name in functions}
    timed = {name: partial(several, f) if counts[name] > 1 else f for name, f in functions.items()}
    times = medians(in_turns(timed, repeats))
    return {
        "units": units,
        "layers": layers,
        "sequences": sequences,
        "prefix": prefix,
        "milliseconds": {name: 1e3 * seconds / counts[name] for name, seconds in times.items()},
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1, help="a step is too small for more")
    parser.add_argument("--units", type=int, nargs="+", default=[96, 512])
    parser.add_argument("--prefixes", type=int, nargs="+", default=[100, 1000])
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    sizes = itertools.product(given.units, (1, 16), given.prefixes)
    rows = [measure(units, 1, sequences, prefix, given.repeats) for units, sequences, prefix in sizes]
    print(latency_table(rows))
    record = setting() | {"rows": rows}
    write_json(given.output, record)
    return record


if __name__ == "__main__":
    main()
