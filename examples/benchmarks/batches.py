"""Compare random, sorted-pool and planned batches: waste and training speed.

    python examples/benchmarks/batches.py DIR [--output FILE]

Isolates the choice of batches: the layer alone, without data, loss and optimiser, on the same rows. Uses the
lengths of en_ewt-ud-train.conllu[.gz] in ``DIR``. All three kinds have the same mean number of sequences in a
batch; "sorted pools" sorts 50 batches at a time. For each kind, forward and backward of one bidirectional LSTM
(100 features, 200 units in each direction) are timed on the same batches: torch's padded call (oneDNN) and
seqkit's packed layer, in turns, after their outputs are compared.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from learning_curves import FixedSize
from measuring import find, in_turns, medians, options, setting, write_json
from sections.markdown import table
from torch.nn.utils.rnn import pad_packed_sequence

import seqkit.nn
from seqkit.data import CoNLL, LengthBucketSampler, lengths
from seqkit.packed import pack

FEATURES, UNITS = 100, 200


def train(layer: torch.nn.Module, batches: Iterable[object]) -> None:
    """Run forward and backward on each batch."""
    for values in batches:
        output, _ = layer(values)
        data = output if isinstance(output, torch.Tensor) else output.data
        data.sum().backward()
        layer.zero_grad()


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--batches", type=int, default=60, help="of each kind, spread over the epoch")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    counts = lengths(CoNLL(train=str(find(given.folder, "en_ewt-ud-train.conllu"))).load()["train"], "form")
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


if __name__ == "__main__":
    main()
