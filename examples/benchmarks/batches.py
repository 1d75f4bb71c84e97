"""Compare random, sorted-pool and planned batches: waste and training speed.

    python examples/benchmarks/batches.py en_ewt-ud-train.conllu.gz --output FILE --picture FILE.png

Uses the lengths of a CoNLL-U file. All three kinds have the same mean number of sequences in a batch; "sorted
pools" sorts 50 batches at a time. For each kind, forward and backward of one bidirectional LSTM (100 features, 200
units in each direction) are timed on the same batches: torch's padded call (oneDNN) and seqkit's packed layer, in
turns, after their outputs are compared.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
from learning_curves import FixedSize
from measuring import in_turns, medians, options, setting, table, write_json
from torch.nn.utils.rnn import pad_packed_sequence

import seqkit.nn
from seqkit.data import CoNLL, LengthBucketSampler, lengths
from seqkit.packed import pack

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FEATURES, UNITS = 100, 200


def train(layer: torch.nn.Module, batches: Iterable[object]) -> None:
    """Run forward and backward on each batch."""
    for values in batches:
        output, _ = layer(values)
        data = output if isinstance(output, torch.Tensor) else output.data
        data.sum().backward()
        layer.zero_grad()


def main() -> None:
    """Measure, print a table and draw."""
    parser = options(__doc__)
    parser.add_argument("file", help="CoNLL-U, may be gzipped")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--batches", type=int, default=60, help="of each kind, spread over the epoch")
    parser.add_argument("--repeats", type=int, default=5)
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
    found, functions, tokens = {}, {}, {}
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
        functions[kind, "torch, padded"] = partial(train, stock, padded)
        functions[kind, "seqkit, packed"] = partial(train, ours, packed)
        tokens[kind] = sum(len(batch.data) for batch in packed)
    for (kind, name), seconds in medians(in_turns(functions, given.repeats)).items():
        found[kind][name] = tokens[kind] / seconds
    rows = [
        [kind, f"{row['waste']:.1%}", f"{row['torch, padded']:,.0f}", f"{row['seqkit, packed']:,.0f}"]
        for kind, row in found.items()
    ]
    print(table(["batches", "waste", "torch, padded", "seqkit, packed"], rows))
    write_json(given.output, {**setting(), "what": "waste; tokens/s", "results": found})
    if given.picture:
        draw(found, given.picture)


def draw(found: dict[str, dict[str, float]], picture: Path) -> None:
    """Draw bars of waste and of tokens a second."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), gridspec_kw={"width_ratios": [2, 3]})
    bars = left.bar(list(found), [100 * row["waste"] for row in found.values()], color="tab:gray", width=0.6)
    left.bar_label(bars, fmt="%.0f %%")
    left.set(title="padding that a batch would need", ylabel="% of all steps")
    position = np.arange(len(found))
    for shift, name, color in ((-0.2, "torch, padded", "tab:orange"), (0.2, "seqkit, packed", "tab:blue")):
        rates = [row[name] / 1000 for row in found.values()]
        right.bar_label(right.bar(position + shift, rates, 0.38, label=name, color=color), fmt="%.0f")
    right.set(title="training, a bidirectional LSTM", ylabel="thousand tokens/s")
    right.set_xticks(position, list(found))
    right.legend(loc="upper center", ncols=2, frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.25)
    figure.tight_layout()
    figure.savefig(picture, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
