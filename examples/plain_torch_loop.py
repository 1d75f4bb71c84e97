"""Train in a loop of plain PyTorch: sampler, collate function, layers and loss, without Lightning.

    python examples/plain_torch_loop.py
    python examples/plain_torch_loop.py --rows 5000 --epochs 4

The model says for each number of a series whether it is larger than all numbers before it.
"""

import argparse
from collections.abc import Sequence

import torch
from records import RecordTagger, records
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy


def correct(logits: PackedSequence, target: PackedSequence) -> Tensor:
    """Count the numbers whose prediction is right."""
    return (logits.data.argmax(-1) == target.data).sum()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    options = parser.parse_args(arguments)

    dataset = records(options.rows, torch.Generator().manual_seed(0))
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=512)
    collate = PackCollate("series", targets="is_record")
    # The sampler yields lists of rows, and the dataset takes a whole list at once.
    loader: DataLoader[Batch] = DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=collate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RecordTagger(32)
    loss_function = CrossEntropy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        right = tokens = 0
        for batch in loader:
            series, target = batch.inputs["series"], batch.targets["is_record"]
            logits = model(series)
            total, units = loss_function.total(logits, target)
            optimizer.zero_grad()
            # Divide by a constant: every number weighs the same, in small and in large batches.
            (total / sampler.tokens_per_step).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            right += int(correct(logits, target))
            tokens += int(units)
        print(f"epoch {epoch}: {len(sampler)} steps, {tokens} numbers, accuracy {right / tokens:.3f}")


if __name__ == "__main__":
    main()
