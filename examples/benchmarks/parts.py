"""Where the time of ``fit`` goes: plan, data, embedding, recurrence, head, optimiser; what is left is Lightning's.

    python examples/benchmarks/parts.py DIR

The model and the batches are those of ``seqkit`` in pipeline.py. The parts are timed in a plain loop, each with its
own backward; Lightning's share is the difference to ``fit`` over the same batches. Beside each part stand its
arithmetic (the multiply-adds of its products, forward and backward) and the rate of a plain matrix product.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from pipeline import Contenders

from seqkit import Batch, Tagger


def product_rate() -> float:
    """Floating-point operations a second of a plain float32 matrix product."""
    a, b, c = torch.randn(1024, 512), torch.randn(512, 2048), torch.empty(1024, 2048)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(a, b, out=c)
        times.append(time.perf_counter() - start)
    return 2 * 1024 * 512 * 2048 / statistics.median(times)


def operations(model: Tagger, tokens: int) -> dict[str, int]:
    """Floating-point operations of the products of one epoch, by part."""
    encoder = model.encoder
    units, features = encoder.hidden_size, encoder.input_size
    directions = 2 if encoder.bidirectional else 1
    return {
        "recurrence": 6 * tokens * directions * 4 * units * (features + units),
        "head": 6 * tokens * model.head.in_features * model.head.out_features,
    }


def one_epoch(model: Tagger, batches: Iterable[Batch]) -> dict[str, float]:
    """Seconds of each part over an epoch of training."""
    seconds: dict[str, float] = defaultdict(float)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)  # as `fit` lets it
    clock = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[part] += now - clock
        clock = now

    for batch in batches:
        lap("data")
        (column,) = batch.inputs
        target = batch.targets[model.target_column]
        embedded = model.embeddings[0](batch.inputs[column])
        cut = embedded._replace(data=embedded.data.detach().requires_grad_())
        lap("embedding")
        hidden, _ = model.encoder(cut)
        above = hidden._replace(data=hidden.data.detach().requires_grad_())
        lap("recurrence")
        logits = above._replace(data=model.head(above.data))
        total, units = model.compute_loss(logits, target)
        (total / units).backward()
        lap("head")
        hidden.data.backward(above.data.grad)
        lap("recurrence")
        embedded.data.backward(cut.data.grad)
        lap("embedding")
        optimizer.step()
        optimizer.zero_grad()
        lap("optimiser")
    return seconds


def main(arguments: Sequence[str] | None = None) -> dict[str, object]:
    """Measure, print the table, and write it with ``--output``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training sentences to use")
    parser.add_argument("--output", type=Path, help="a JSON file")
    given = parser.parse_args(arguments)
    contenders = Contenders(given.folder, given.limit)
    rounds, rates = [], []
    for number in range(given.rounds + 1):
        model = contenders.model("seqkit", number)
        data = contenders.loaders("seqkit", number)["datamodule"]
        start = time.perf_counter()
        batches = data.train_dataloader()
        parts = {"plan of batches": time.perf_counter() - start, **one_epoch(model, batches)}
        whole, _ = contenders.fit("seqkit", number, 1, validate=False)
        parts["Lightning and logging"] = whole - sum(parts.values())
        rates.append(product_rate())
        if number:  # the first round warms up
            rounds.append(parts)
    rate, work = statistics.median(rates), operations(model, contenders.tokens)
    seconds = {part: statistics.median(round_[part] for round_ in rounds) for part in rounds[0]}
    whole = sum(seconds.values())
    print(f"{contenders.tokens / whole:,.0f} tokens/s; a matrix product runs at {rate / 1e9:.0f} GFLOP/s")
    for part, time_ in seconds.items():
        share = f"  {work[part] / time_ / rate:.0%} of the product's rate" if part in work else ""
        print(f"{part:22} {time_:6.2f} s {time_ / whole:5.0%}{share}")
    print(f"at the product's rate alone: {contenders.tokens * rate / sum(work.values()):,.0f} tokens/s")
    report = {"tokens": contenders.tokens, "seconds": seconds, "GFLOP/s": rate / 1e9, "operations": work}
    if given.output is not None:
        given.output.write_text(json.dumps(report, indent=1))
    return report


if __name__ == "__main__":
    main()
