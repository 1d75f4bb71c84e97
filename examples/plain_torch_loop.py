"""The parts alone, in a loop of one's own: sampler, collate function, layers and loss, without Lightning.

    python examples/plain_torch_loop.py
    python examples/plain_torch_loop.py --rows 5000 --epochs 4

The net says of every number of a series whether it is larger than all before it.
"""

import argparse
from collections.abc import Sequence

import datasets
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy
from seqkit.nn import LSTM


class Net(nn.Module):
    """A recurrent layer and a linear head; packed data in, packed data out."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.encoder = LSTM(1, hidden_size)
        self.head = nn.Linear(self.encoder.output_size, 2)

    def forward(self, series: PackedSequence) -> PackedSequence:
        """Turn data (N, 1) into logits (N, 2)."""
        hidden, _ = self.encoder(series)
        logits: PackedSequence = hidden._replace(data=self.head(hidden.data))
        return logits


def records(rows: int, generator: torch.Generator) -> datasets.Dataset:
    """Make series of 1 to 30 numbers.

    Returns:
        Columns ``series``, lists of vectors of one number, and ``is_record``, lists of 0 and 1.
    """
    sizes = torch.randint(1, 31, (rows,), generator=generator).tolist()
    series = [torch.randn(size, generator=generator) for size in sizes]
    is_record = [(values >= values.cummax(0).values).long() for values in series]
    return datasets.Dataset.from_dict(
        {
            "series": [values[:, None].tolist() for values in series],
            "is_record": [record.tolist() for record in is_record],
        }
    )


def correct(logits: PackedSequence, target: PackedSequence) -> Tensor:
    """Count the numbers that were told right."""
    return (logits.data.argmax(-1) == target.data).sum()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example.

    Args:
        arguments: What follows the program's name; by default what the process got.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="how often they are seen (default 3)")
    options = parser.parse_args(arguments)

    dataset = records(options.rows, torch.Generator().manual_seed(0))
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=512)
    collate = PackCollate("series", targets="is_record")
    # The sampler yields lists of rows, the dataset takes a whole list at once.
    loader: DataLoader[Batch] = DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=collate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net(32)
    loss_function = CrossEntropy()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)

    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        right = tokens = 0
        for batch in loader:
            series, target = batch.inputs["series"], batch.targets["is_record"]
            logits = net(series)
            total, units = loss_function.total(logits, target)
            optimizer.zero_grad()
            # A constant for all batches: every number weighs the same, whichever batch it is in.
            (total / sampler.tokens_per_step).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            right += int(correct(logits, target))
            tokens += int(units)
        print(f"epoch {epoch}: {len(sampler)} steps, {tokens} numbers, accuracy {right / tokens:.3f}")


if __name__ == "__main__":
    main()
