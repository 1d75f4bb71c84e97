"""Compare recurrent layers: torch on packed batches, torch on padded batches, and each backend of seqkit.

    python examples/benchmarks/recurrent.py --repeats 9 --output recurrent.json
    python examples/benchmarks/recurrent.py --device cuda --dtype bfloat16

Isolates one recurrent layer on one batch, without data, loss and optimiser. Outputs and gradients are compared
with torch's before anything is timed. Contenders run in turns in one process, and medians are reported. A share
is relative to the speed of a plain matrix product of the same dtype, timed in the same turns; "roof" is the time
of a layer that runs at that speed throughout. Memory is the peak of torch's allocations.
"""

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from measuring import in_turns, matrix_product, medians, options, setting, write_json
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence
from torch.profiler import ProfilerActivity, profile

import seqkit.nn
from seqkit import kernels

SIZES = [(100, 128, 32), (128, 256, 32), (256, 512, 64), (100, 128, 128), (100, 200, 32)]  # I, H, B
CUDA_SIZES = [(128, units, batch) for units in (128, 256, 512, 1024) for batch in (32, 256)]
GATES = {"LSTM": 4, "GRU": 3}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def draw_lengths(kind: str, batch: int) -> list[int]:
    """Draw lengths, longest first: log-normal of median 20 in 2..150 ("wide"), or 18..23 ("bucketed")."""
    generator = torch.Generator().manual_seed(batch)
    if kind == "wide":
        normal = torch.randn(batch, generator=generator)
        drawn = (normal * 0.7 + math.log(20)).exp().round().clamp(2, 150).long()
    else:
        drawn = torch.randint(18, 24, (batch,), generator=generator)
    return sorted(drawn.tolist(), reverse=True)


def training(module: nn.Module, values: PackedSequence | Tensor, above: Tensor) -> Callable[[], list[Tensor]]:
    """Return a function that runs forward and backward and returns the output and all gradients."""
    data = values.data if isinstance(values, PackedSequence) else values
    leaves = [data, *module.parameters()]

    def step() -> list[Tensor]:
        output, _ = module(values)
        output = output.data if isinstance(output, PackedSequence) else output
        return [output, *torch.autograd.grad(output, leaves, above)]

    return step


def inference(module: nn.Module, values: PackedSequence | Tensor) -> Callable[[], object]:
    """Return a function that runs forward without gradients."""

    def step() -> object:
        with torch.inference_mode():
            return module(values)

    return step


def peak_memory(function: Callable[[], object], device: str) -> int:
    """Return the largest number of bytes that torch allocates during a call."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as record:
        function()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda e: e.start_ns())))


def measure(
    cell: str, directions: int, size: tuple[int, int, int], kind: str, repeats: int, device: str, dtype: torch.dtype
) -> dict[str, object]:
    """Measure one cell of the grid."""
    features, units, batch = size
    lengths = draw_lengths(kind, batch)
    tokens = sum(lengths)
    torch.manual_seed(0)
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    stock = getattr(nn, cell)(features, units, bidirectional=directions == 2, **place)
    packed = pack_sequence([torch.randn(n, features, **place) for n in lengths])
    packed = packed._replace(data=packed.data.requires_grad_())
    padded = pad_packed_sequence(packed)[0].detach().requires_grad_()
    above = torch.randn(tokens, units * directions, **place)
    padded_above = pad_packed_sequence(packed._replace(data=above))[0]
    contenders: dict[str, tuple[nn.Module, PackedSequence | Tensor, Tensor]] = {
        "torch packed": (stock, packed, above),
        "torch padded": (stock, padded, padded_above),
    }
    expected = training(stock, packed, above)()
    exact = dtype == torch.float32
    for backend in kernels.available():
        if backend == "reference" or (device != "cpu" and backend == "native"):
            continue
        ours = getattr(seqkit.nn, cell)(features, units, bidirectional=directions == 2, **place)
        ours.load_state_dict(stock.state_dict())
        ours.backend = backend
        for found, wanted in zip(training(ours, packed, above)(), expected, strict=True):
            largest = max(1.0, wanted.abs().max().item())
            rtol, atol = (1e-3, 1e-4 * largest) if exact else (0.1, 0.03 * largest)
            torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol)
        contenders[backend] = (ours, packed, above)
    product, product_operations = matrix_product(**place)
    trainings = {name: training(*contender) for name, contender in contenders.items()}
    train = medians(in_turns({"product": product, **trainings}, repeats, device=device))
    inferences = {name: inference(module, values) for name, (module, values, _) in contenders.items()}
    infer = medians(in_turns(inferences, repeats, device=device))
    rate = product_operations / train.pop("product")
    operations = 6 * GATES[cell] * units * (features + units) * tokens * directions
    return {
        "cell": cell,
        "directions": directions,
        "I, H, B": size,
        "lengths": kind,
        "tokens": tokens,
        "waste": 1 - tokens / (lengths[0] * batch),
        "product GFLOP/s": rate / 1e9,
        "train ms": {name: t * 1e3 for name, t in train.items()} | {"roof": operations / rate * 1e3},
        "infer ms": {name: t * 1e3 for name, t in infer.items()} | {"roof": operations / 3 / rate * 1e3},
        "share": {name: operations / t / rate for name, t in train.items()},
        "peak MB": {name: peak_memory(f, device) / 1e6 for name, f in trainings.items()},
    }


def main() -> None:
    """Measure the grid and print a line for each cell, then the geometric means."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", nargs="+", default=["LSTM", "GRU"], choices=list(GATES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=list(DTYPES))
    parser.add_argument("--tf32", action="store_true", help="allow TF32 for float32 on CUDA")
    given = parser.parse_args()
    sizes = SIZES if given.device == "cpu" else CUDA_SIZES
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = given.tf32
    torch.set_num_threads(given.threads)
    record = setting() | {
        "device": torch.cuda.get_device_name() if given.device == "cuda" else "cpu",
        "dtype": given.dtype,
    }
    print(record)
    rows = []
    for cell in given.cells:
        for directions in (1, 2):
            for size in sizes:
                for kind in ("wide", "bucketed"):
                    dtype = DTYPES[given.dtype]
                    row = measure(cell, directions, size, kind, given.repeats, given.device, dtype)
                    rows.append(row)
                    head = (
                        f"{cell:4} {directions} {size!s:15} {kind:8} product {row['product GFLOP/s']:4.0f} GFLOP/s"
                    )
                    times = "  ".join(
                        f"{name} {row['train ms'][name]:.1f}/{row['infer ms'][name]:.1f} ms {share:.0%} "
                        f"{row['peak MB'][name]:.0f} MB"
                        for name, share in row["share"].items()
                    )
                    print(head, "|", times, flush=True)
    print("times against torch packed, geometric mean (lowest):")
    for name in rows[0]["train ms"]:
        for what in ("train ms", "infer ms"):
            ratios = [row[what]["torch packed"] / row[what][name] for row in rows]
            print(f"  {name:12} {what[:5]}  {statistics.geometric_mean(ratios):.2f} ({min(ratios):.2f})")
    for name in rows[0]["share"]:
        print(
            f"  {name:12} memory at most {max(r['peak MB'][name] / r['peak MB']['torch packed'] for r in rows):.2f}"
        )
    write_json(given.output, record | {"rows": rows})


if __name__ == "__main__":
    main()
