"""The parts in a loop of Hugging Face Accelerate, on one process or several.

    python examples/accelerate_loop.py
    accelerate launch --cpu --num_processes 2 examples/accelerate_loop.py

The net says of every number of a series whether it is larger than all before it.

``Accelerator.prepare`` must not have the loader: it would deal the batches of a sampler that deals rows to the
processes by itself once more. A ``DataLoaderShard``, what ``prepare`` makes of a loader, does the rest: it moves
batches, sets the epoch and knows the last batch, so that gradient accumulation works.
"""

import argparse
from collections.abc import Sequence

import datasets
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import set_seed
from torch import nn
from torch.nn.utils.rnn import PackedSequence

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
    parser.add_argument("--accumulate", type=int, default=2, help="batches a step (default 2)")
    parser.add_argument("--cpu", action="store_true", help="leave accelerators alone")
    options = parser.parse_args(arguments)

    accelerator = Accelerator(cpu=options.cpu, gradient_accumulation_steps=options.accumulate)
    set_seed(0)
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    # After the Accelerator: the sampler deals the rows to the processes that there are then.
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=256 // accelerator.num_processes)
    loader = DataLoaderShard(
        dataset,
        batch_sampler=sampler,
        collate_fn=PackCollate("series", targets=["is_record", "row"]),
        device=accelerator.device,
    )
    net = Net(32)
    net, optimizer = accelerator.prepare(net, torch.optim.Adam(net.parameters(), lr=1e-2))
    loss_function = CrossEntropy()

    for epoch in range(options.epochs):
        loss = torch.zeros((), device=accelerator.device)
        rows: list[int] = []
        steps = 0
        for batch in loader:
            with accelerator.accumulate(net):
                logits = net(batch.inputs["series"])
                total, _ = loss_function.total(logits, batch.targets["is_record"])
                # The mean number of tokens of a batch of all processes, whose gradients Accelerate averages.
                accelerator.backward(total * (accelerator.num_processes / sampler.tokens_per_step))
                optimizer.step()
                optimizer.zero_grad()
                steps += accelerator.sync_gradients
            loss += total.detach()
            rows += batch.targets["row"].tolist()
        mean = accelerator.reduce(loss) / (sampler.tokens_per_step * len(sampler))
        seen = int(accelerator.reduce(torch.tensor(len(set(rows)), device=accelerator.device)))
        accelerator.print(f"epoch {epoch}: {steps} steps, {seen} rows, loss {float(mean):.3f}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
