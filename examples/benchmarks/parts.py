"""Measure which part of a fit takes how much of its time: plan, data, embedding, recurrence, head, optimiser.

    python examples/benchmarks/parts.py DIR

Isolates each part of one fit: the model and the batches are those of ``seqkit`` in pipeline.py. A plain loop
times the parts, each with its own backward; the rest of the time of a fit over the same batches is Lightning's.
The recurrence and the head are also compared with the speed of a plain matrix product.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from measuring import in_turns, matrix_product, medians, options, setting, write_json
from pipeline import Contenders

from seqkit import Batch, Tagger


def product_rate() -> float:
    """Return the floating-point operations a second of a plain float32 matrix product."""
    product, operations = matrix_product()
    return operations / medians(in_turns({"product": product}, 20, warm_up=0))["product"]


def operations(model: Tagger, tokens: int) -> dict[str, int]:
    """Return the floating-point operations of the matrix products of one epoch, by part."""
    encoder = model.encoder
    units, features = encoder.hidden_size, encoder.input_size
    directions = 2 if encoder.bidirectional else 1
    return {
        "recurrence": 6 * tokens * directions * 4 * units * (features + units),
        "head": 6 * tokens * model.head.in_features * model.head.out_features,
    }


def one_epoch(model: Tagger, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the seconds of each part over an epoch of training."""
    seconds: dict[str, float] = defaultdict(float)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)  # as in a fit
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
    """Measure and print the seconds of each part."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training sentences to use")
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
    write_json(given.output, setting() | report)
    return report


if __name__ == "__main__":
    main()
