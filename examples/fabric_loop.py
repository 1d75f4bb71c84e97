"""The parts in a loop of Lightning Fabric, on one process or several.

    python examples/fabric_loop.py
    python examples/fabric_loop.py --devices 2 --accelerator cpu

The net says of every number of a series whether it is larger than all before it.
"""

import argparse
from collections.abc import Sequence

import datasets
import torch
from lightning.fabric import Fabric
from torch import nn
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
    """Make series of 1 to 30 numbers; ``is_record`` says which are larger than all before them."""
    sizes = torch.randint(1, 31, (rows,), generator=generator).tolist()
    series = [torch.randn(size, generator=generator) for size in sizes]
    return datasets.Dataset.from_dict(
        {
            "row": list(range(rows)),
            "series": [values[:, None].tolist() for values in series],
            "is_record": [(values >= values.cummax(0).values).long().tolist() for values in series],
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example.

    Args:
        arguments: What follows the program's name; by default what the process got.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="how often they are seen (default 3)")
    parser.add_argument("--devices", type=int, default=1, help="number of processes (default 1)")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (default: what there is)")
    options = parser.parse_args(arguments)

    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
    )
    fabric.launch()
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    # After launch: the sampler deals the rows to the processes that there are then.
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=512 // options.devices)
    loader: DataLoader[Batch] = DataLoader(
        dataset, sampler=sampler, batch_size=None, collate_fn=PackCollate("series", targets=["is_record", "row"])
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net(32)
    net, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), lr=1e-2))
    loader = fabric.setup_dataloaders(loader)  # moves the batches, and sets the sampler's epoch, from 0
    loss_function = CrossEntropy()

    for epoch in range(options.epochs):
        loss = torch.zeros((), device=fabric.device)
        rows = []
        for batch in loader:
            logits = net(batch.inputs["series"])
            total, _ = loss_function.total(logits, batch.targets["is_record"])
            optimizer.zero_grad()
            # The mean number of tokens of a step on all processes, whose gradients Fabric averages.
            fabric.backward(total * (fabric.world_size / sampler.tokens_per_step))
            optimizer.step()
            loss += total.detach()
            rows += batch.targets["row"].tolist()
        mean = fabric.all_reduce(loss, reduce_op="sum") / (sampler.tokens_per_step * len(sampler))
        seen = fabric.all_reduce(torch.tensor(len(set(rows)), device=fabric.device), reduce_op="sum")
        fabric.print(f"epoch {epoch}: {len(sampler)} steps, {int(seen)} rows, loss {float(mean):.3f}")


if __name__ == "__main__":
    main()
