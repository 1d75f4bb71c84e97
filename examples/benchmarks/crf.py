"""Compare the CRF on packed batches with pytorch-crf, which pads: likelihood with backward, and decoding.

    python examples/benchmarks/crf.py DIR [--output FILE]

Isolates the CRF on one batch. The lengths are those of sentences drawn from en_ewt-ud-train.conllu[.gz] in
``DIR``. Both get the same scores and weights, each in its own layout. Results are compared before anything is
timed. The functions run in turns, and medians are reported.
"""

from pathlib import Path

import torch
import torchcrf
from measuring import find, in_turns, medians, options, setting, write_json

from seqkit import packed
from seqkit.data import CoNLL
from seqkit.nn import CRF


def compare(lengths: list[int], num_tags: int, repeats: int) -> dict[str, float]:
    """Return the milliseconds of both on one batch of these lengths."""
    generator = torch.Generator().manual_seed(0)
    scores = packed.pack([torch.randn(n, num_tags, generator=generator) for n in lengths])
    tags = packed.pack([torch.randint(num_tags, (n,), generator=generator) for n in lengths])
    ours, theirs = CRF(num_tags), torchcrf.CRF(num_tags, batch_first=True)
    with torch.no_grad():
        theirs.start_transitions.copy_(ours.start)
        theirs.transitions.copy_(ours.transitions)
        theirs.end_transitions.copy_(ours.end)
    leaf = scores._replace(data=scores.data.requires_grad_())
    padded_tags = packed.to_padded(tags)
    padded = packed.to_padded(scores).detach().requires_grad_()
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    def our_training() -> tuple[torch.Tensor, ...]:
        total = ours(leaf, tags).sum()
        return (total, *torch.autograd.grad(total, [leaf.data, ours.transitions]))

    def their_training() -> tuple[torch.Tensor, ...]:
        total = theirs(padded, padded_tags, mask)
        return (total, *torch.autograd.grad(total, [padded, theirs.transitions]))

    def our_decoding() -> object:
        return ours.decode(scores)

    def their_decoding() -> object:
        with torch.no_grad():
            return theirs.decode(padded, mask)

    for a, b in zip(our_training(), their_training(), strict=True):
        b = packed.pack([row[:n] for row, n in zip(b, lengths, strict=True)]).data if b.dim() == 3 else b
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert [x.tolist() for x in packed.unpack(ours.decode(scores))] == their_decoding()
    functions = {
        "training": our_training,
        "training of pytorch-crf": their_training,
        "decoding": our_decoding,
        "decoding of pytorch-crf": their_decoding,
    }
    return {name: 1e3 * t for name, t in medians(in_turns(functions, repeats, warm_up=3)).items()}


def main() -> None:
    """Time each number of tags and print the figures."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tags", type=int, nargs="+", default=[17, 50])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    every = [
        len(form) for form in CoNLL(train=str(find(given.folder, "en_ewt-ud-train.conllu"))).load()["train"]["form"]
    ]
    drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[: given.batch]
    lengths = [every[i] for i in drawn.tolist()]
    print(f"B {len(lengths)}, N {sum(lengths)}, T {max(lengths)}; ms, median")
    results = {}
    for num_tags in given.tags:
        found = results[num_tags] = compare(lengths, num_tags, given.repeats)
        for what in ("training", "decoding"):
            ours, theirs = found[what], found[f"{what} of pytorch-crf"]
            print(f"C {num_tags:3d} {what}: {ours:7.3f}, pytorch-crf {theirs:7.3f}, {theirs / ours:5.1f} times")
    write_json(given.output, {**setting("pytorch-crf"), "lengths": lengths, "milliseconds": results})


if __name__ == "__main__":
    main()
