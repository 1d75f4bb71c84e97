"""Compare the training speed of an LSTM with that of torch on this machine."""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.utils.rnn import pad_sequence

from seqkit import nn, packed

SECONDS = 6.0
FEATURES, UNITS, SEQUENCES = 100, 200, 64


def speeds() -> dict[str, float]:
    """Train a layer of both directions on one batch, in turns with torch's layer, on the CPU.

    Returns:
        Tokens per second of ``seqkit``, of ``torch packed`` and of ``torch padded``: medians.
    """
    generator = torch.Generator().manual_seed(0)
    # Lengths as of sentences: log-normal.
    lengths = torch.empty(SEQUENCES).log_normal_(2.5, 0.6, generator=generator).clamp(1, 100).long()
    sequences = [torch.randn(int(length), FEATURES, generator=generator) for length in lengths]
    batch, padded = packed.pack(sequences), pad_sequence(sequences)
    ours = nn.LSTM(FEATURES, UNITS, bidirectional=True)
    theirs = torch.nn.LSTM(FEATURES, UNITS, bidirectional=True)
    steps: dict[str, Callable[[], None]] = {
        "seqkit": lambda: ours(batch)[0].data.sum().backward(),
        "torch packed": lambda: theirs(batch)[0].data.sum().backward(),
        "torch padded": lambda: theirs(padded)[0].sum().backward(),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + SECONDS
    while not times["seqkit"] or time.monotonic() < end:
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: int(lengths.sum()) / statistics.median(values) for name, values in times.items()}
