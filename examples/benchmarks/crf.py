"""A CRF on packed batches against pytorch-crf, which pads: likelihood with backward, and decoding, in one process.

    pip install pytorch-crf
    python examples/benchmarks/crf.py en_ewt-ud-train.conllu.gz --json crf.json

Lengths are those of the file's sentences, drawn at random. Both get the scores and weights that the other has, in
their own layout; results are compared before anything is timed. Contenders are interleaved and medians reported.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchcrf

from seqkit import packed
from seqkit.data import CoNLL
from seqkit.nn import CRF


def medians(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each function, called in turns after three warm-ups."""
    times: list[list[float]] = [[] for _ in functions]
    for round_ in range(repeats + 3):
        for kept, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            function()
            if round_ >= 3:
                kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]


def compare(lengths: list[int], num_tags: int, repeats: int) -> dict[str, float]:
    """Milliseconds of both on one batch of these lengths."""
    generator = torch.Generator().manual_seed(0)
    scores = packed.pack([torch.randn(n, num_tags, generator=generator) for n in lengths])
    tags = packed.pack([torch.randint(num_tags, (n,), generator=generator) for n in lengths])
    mine, theirs = CRF(num_tags), torchcrf.CRF(num_tags, batch_first=True)
    with torch.no_grad():
        theirs.start_transitions.copy_(mine.start)
        theirs.transitions.copy_(mine.transitions)
        theirs.end_transitions.copy_(mine.end)
    leaf = scores._replace(data=scores.data.requires_grad_())
    padded_tags = packed.to_padded(tags)
    padded = packed.to_padded(scores).detach().requires_grad_()
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    def my_training() -> tuple[torch.Tensor, ...]:
        total = mine(leaf, tags).sum()
        return (total, *torch.autograd.grad(total, [leaf.data, mine.transitions]))

    def their_training() -> tuple[torch.Tensor, ...]:
        total = theirs(padded, padded_tags, mask)
        return (total, *torch.autograd.grad(total, [padded, theirs.transitions]))

    def my_decoding() -> object:
        return mine.decode(scores)

    def their_decoding() -> object:
        with torch.no_grad():
            return theirs.decode(padded, mask)

    for a, b in zip(my_training(), their_training(), strict=True):
        b = packed.pack([row[:n] for row, n in zip(b, lengths, strict=True)]).data if b.dim() == 3 else b
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert [x.tolist() for x in packed.unpack(mine.decode(scores))] == their_decoding()
    times = medians([my_training, their_training, my_decoding, their_decoding], repeats)
    names = ("training", "training of pytorch-crf", "decoding", "decoding of pytorch-crf")
    return {name: 1e3 * seconds for name, seconds in zip(names, times, strict=True)}


def main() -> None:
    """Time every number of tags and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a CoNLL-U file with the lengths")
    parser.add_argument("--tags", type=int, nargs="+", default=[17, 50])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = [len(form) for form in CoNLL(train=options.file).load()["train"]["form"]]
    drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[: options.batch]
    lengths = [every[i] for i in drawn.tolist()]
    print(f"B {len(lengths)}, N {sum(lengths)}, T {max(lengths)}, threads {options.threads}; ms, median")
    results = {}
    for num_tags in options.tags:
        found = results[num_tags] = compare(lengths, num_tags, options.repeats)
        for what in ("training", "decoding"):
            mine, other = found[what], found[f"{what} of pytorch-crf"]
            print(f"C {num_tags:3d} {what}: {mine:7.3f}, pytorch-crf {other:7.3f}, {other / mine:5.1f} times")
    if options.json:
        options.json.write_text(json.dumps({"lengths": lengths, "milliseconds": results}, indent=1))


if __name__ == "__main__":
    main()
