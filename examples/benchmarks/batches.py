"""What batches of like length are worth: waste and training speed of random, sorted-pool and planned batches.

    python examples/benchmarks/batches.py en_ewt-ud-train.conllu.gz --json FILE --picture FILE.png

On the lengths of a CoNLL-U file. All three take the same mean number of sequences a batch; "sorted pools" sorts 50
batches at a time. Each kind is trained on by the padded call of torch (oneDNN) and by seqkit's packed layer:
forward and backward of one bidirectional LSTM (100 features, 200 units a direction), the same batches for both, in
turns, after their outputs were compared.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from learning_curves import FixedSize
from torch.nn.utils.rnn import pad_packed_sequence

import seqkit.nn
from seqkit.data import CoNLL, LengthBucketSampler, lengths
from seqkit.packed import pack

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FEATURES, UNITS = 100, 200


def train(layer: torch.nn.Module, values: object) -> torch.Tensor:
    """Forward and backward."""
    output, _ = layer(values)
    data = output if isinstance(output, torch.Tensor) else output.data
    data.sum().backward()
    layer.zero_grad()
    return data.detach()


def seconds(function: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measures, prints a table, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="CoNLL-U, may be gzipped")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--batches", type=int, default=60, help="of each kind, spread over the epoch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    counts = lengths(CoNLL(train=given.file).load()["train"], "form")
    plan = LengthBucketSampler(counts, max_tokens=given.max_tokens)
    size = round(plan.sequences_per_step)
    kinds = {
        "random": FixedSize(counts, size, pools=False, seed=0),
        "sorted pools": FixedSize(counts, size, pools=True, seed=0),
        "planned": plan,
    }
    stock = torch.nn.LSTM(FEATURES, UNITS, bidirectional=True)
    ours = seqkit.nn.LSTM(FEATURES, UNITS, bidirectional=True)
    ours.load_state_dict(stock.state_dict())
    found, work = {}, {}
    for kind, sampler in kinds.items():
        epoch = list(sampler)
        area = sum(len(rows) * int(counts[rows].max()) for rows in epoch)
        found[kind] = {"steps": len(epoch), "waste": 1 - int(counts.sum()) / area}
        chosen = [epoch[i] for i in np.linspace(0, len(epoch) - 1, given.batches).astype(int)]
        packed = [pack([torch.randn(int(n), FEATURES) for n in counts[rows]]) for rows in chosen]
        padded = [pad_packed_sequence(batch)[0] for batch in packed]
        torch.testing.assert_close(  # the forward direction does not see the padding
            pad_packed_sequence(ours(packed[0])[0])[0][0, :, :UNITS],
            stock(padded[0])[0][0, :, :UNITS],
            rtol=1e-4,
            atol=1e-5,
        )
        work[kind] = packed, padded, sum(len(batch.data) for batch in packed)
    times: dict[tuple[str, str], list[float]] = {}
    for round_ in range(given.repeats + 1):
        for kind, (packed, padded, _) in work.items():
            for name, layer, batches in (("torch, padded", stock, padded), ("seqkit, packed", ours, packed)):
                taken = sum(seconds(lambda batch=batch, layer=layer: train(layer, batch)) for batch in batches)
                if round_:
                    times.setdefault((kind, name), []).append(taken)
    print("| batches | waste | torch, padded | seqkit, packed |\n|---|---:|---:|---:|")
    for kind, (_, _, tokens) in work.items():
        for name in ("torch, padded", "seqkit, packed"):
            found[kind][name] = tokens / statistics.median(times[kind, name])
        row = found[kind]
        print(f"| {kind} | {row['waste']:.1%} | {row['torch, padded']:,.0f} | {row['seqkit, packed']:,.0f} |")
    if given.json:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        given.json.write_text(
            json.dumps({"machine": machine, "what": "waste; tokens/s", "results": found}, indent=1)
        )
    if given.picture:
        draw(found, given.picture)


def draw(found: dict[str, dict[str, float]], picture: Path) -> None:
    """Bars of waste and of tokens a second."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), gridspec_kw={"width_ratios": [2, 3]})
    bars = left.bar(list(found), [100 * row["waste"] for row in found.values()], color="tab:gray", width=0.6)
    left.bar_label(bars, fmt="%.0f %%")
    left.set(title="padding that a batch would need", ylabel="% of all steps")
    place = np.arange(len(found))
    for shift, name, color in ((-0.2, "torch, padded", "tab:orange"), (0.2, "seqkit, packed", "tab:blue")):
        bars = right.bar(place + shift, [row[name] / 1000 for row in found.values()], 0.38, label=name, color=color)
        right.bar_label(bars, fmt="%.0f")
    right.set(title="training, a bidirectional LSTM", ylabel="thousand tokens/s")
    right.set_xticks(place, list(found))
    right.legend(loc="upper center", ncols=2, frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.25)
    figure.tight_layout()
    figure.savefig(picture, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
