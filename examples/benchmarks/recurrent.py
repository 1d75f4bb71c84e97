"""Recurrent layers on packed batches: torch's packed, torch's padded, and each backend of seqkit, in one process.

    python examples/benchmarks/recurrent.py --repeats 9 --json recurrent.json

Contenders are interleaved and medians reported; outputs and gradients are compared with torch's before anything is
timed. Shares are of the rate of a plain float32 matrix product, measured in the same interleaving.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import seqkit.nn
from seqkit import kernels

SIZES = [(100, 128, 32), (128, 256, 32), (256, 512, 64), (100, 128, 128), (100, 200, 32)]  # I, H, B
GATES = {"LSTM": 4, "GRU": 3}


def draw_lengths(kind: str, batch: int) -> list[int]:
    """Lengths, longest first: log-normal of median 20 in 2..150 ("wide"), or 18..23 ("bucketed")."""
    generator = torch.Generator().manual_seed(batch)
    if kind == "wide":
        normal = torch.randn(batch, generator=generator)
        drawn = (normal * 0.7 + math.log(20)).exp().round().clamp(2, 150).long()
    else:
        drawn = torch.randint(18, 24, (batch,), generator=generator)
    return sorted(drawn.tolist(), reverse=True)


def medians(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each function, called in turns after one warm-up."""
    times: list[list[float]] = [[] for _ in functions]
    for round_ in range(repeats + 1):
        for kept, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            function()
            if round_:
                kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]


def training(module: nn.Module, values: PackedSequence | Tensor, above: Tensor) -> Callable[[], list[Tensor]]:
    """Forward and backward; returns the output and the gradients of weights and inputs."""
    data = values.data if isinstance(values, PackedSequence) else values
    leaves = [data, *module.parameters()]

    def step() -> list[Tensor]:
        output, _ = module(values)
        output = output.data if isinstance(output, PackedSequence) else output
        return [output, *torch.autograd.grad(output, leaves, above)]

    return step


def inference(module: nn.Module, values: PackedSequence | Tensor) -> Callable[[], object]:
    """Forward without gradients."""

    def step() -> object:
        with torch.inference_mode():
            return module(values)

    return step


def measure(cell: str, directions: int, size: tuple[int, int, int], kind: str, repeats: int) -> dict[str, object]:
    """One cell of the grid."""
    features, units, batch = size
    lengths = draw_lengths(kind, batch)
    tokens = sum(lengths)
    torch.manual_seed(0)
    stock = getattr(nn, cell)(features, units, bidirectional=directions == 2)
    packed = pack_sequence([torch.randn(n, features) for n in lengths])
    packed = packed._replace(data=packed.data.requires_grad_())
    padded = pad_packed_sequence(packed)[0].detach().requires_grad_()
    above = torch.randn(tokens, units * directions)
    padded_above = pad_packed_sequence(packed._replace(data=above))[0]
    contenders: dict[str, tuple[nn.Module, PackedSequence | Tensor, Tensor]] = {
        "torch packed": (stock, packed, above),
        "torch padded": (stock, padded, padded_above),
    }
    expected = training(stock, packed, above)()
    for backend in kernels.available():
        if backend == "reference":
            continue
        ours = getattr(seqkit.nn, cell)(features, units, bidirectional=directions == 2)
        ours.load_state_dict(stock.state_dict())
        ours.backend = backend
        for found, wanted in zip(training(ours, packed, above)(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * max(1.0, wanted.abs().max().item()))
        contenders[backend] = (ours, packed, above)
    a, b, c = torch.randn(1024, 512), torch.randn(512, 2048), torch.empty(1024, 2048)
    steps: list[Callable[[], object]] = [lambda: torch.mm(a, b, out=c)]
    steps += [training(*contender) for contender in contenders.values()]
    product, *train = medians(steps, repeats)
    infer = medians([inference(module, values) for module, values, _ in contenders.values()], repeats)
    rate = 2 * 1024 * 512 * 2048 / product
    operations = 6 * GATES[cell] * units * (features + units) * tokens * directions
    return {
        "cell": cell,
        "directions": directions,
        "I, H, B": size,
        "lengths": kind,
        "tokens": tokens,
        "waste": 1 - tokens / (lengths[0] * batch),
        "product GFLOP/s": rate / 1e9,
        "train ms": {name: t * 1e3 for name, t in zip(contenders, train, strict=True)},
        "infer ms": {name: t * 1e3 for name, t in zip(contenders, infer, strict=True)},
        "share": {name: operations / t / rate for name, t in zip(contenders, train, strict=True)},
    }


def main() -> None:
    """Measures the grid, prints a table and the geometric means, and writes JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", nargs="+", default=["LSTM", "GRU"], choices=list(GATES))
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "threads": options.threads,
    }
    print(machine)
    rows = []
    for cell in options.cells:
        for directions in (1, 2):
            for size in SIZES:
                for kind in ("wide", "bucketed"):
                    row = measure(cell, directions, size, kind, options.repeats)
                    rows.append(row)
                    head = (
                        f"{cell:4} {directions} {size!s:15} {kind:8} product {row['product GFLOP/s']:4.0f} GFLOP/s"
                    )
                    times = "  ".join(
                        f"{name} {train:.1f}/{row['infer ms'][name]:.1f} ms {row['share'][name]:.0%}"
                        for name, train in row["train ms"].items()
                    )
                    print(head, "|", times, flush=True)
    print("times against torch packed, geometric mean (lowest):")
    for name in rows[0]["train ms"]:
        for what in ("train ms", "infer ms"):
            ratios = [row[what]["torch packed"] / row[what][name] for row in rows]
            print(f"  {name:12} {what[:5]}  {statistics.geometric_mean(ratios):.2f} ({min(ratios):.2f})")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
