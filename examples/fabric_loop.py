"""Train in a loop of Lightning Fabric, in one process or several.

    python examples/fabric_loop.py
    python examples/fabric_loop.py --devices 2 --accelerator cpu

The model says for each number of a series whether it is larger than all numbers before it.
"""

import argparse
from collections.abc import Sequence

import torch
from lightning.fabric import Fabric
from records import RecordTagger, records
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--devices", type=int, default=1, help="number of processes (default 1)")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (default: the best one present)")
    options = parser.parse_args(arguments)

    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
    )
    fabric.launch()
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    # After launch, because the sampler splits the rows among the processes that run at this moment.
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=512 // options.devices)
    loader: DataLoader[Batch] = DataLoader(
        dataset, sampler=sampler, batch_size=None, collate_fn=PackCollate("series", targets=["is_record", "row"])
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RecordTagger(32)
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=1e-2))
    loader = fabric.setup_dataloaders(loader)  # moves batches to the device and sets the sampler's epoch
    loss_function = CrossEntropy()

    for epoch in range(options.epochs):
        loss = torch.zeros((), device=fabric.device)
        rows = []
        for batch in loader:
            logits = model(batch.inputs["series"])
            total, _ = loss_function.total(logits, batch.targets["is_record"])
            optimizer.zero_grad()
            # tokens_per_step counts all processes; Fabric averages their gradients.
            fabric.backward(total * (fabric.world_size / sampler.tokens_per_step))
            optimizer.step()
            loss += total.detach()
            rows += batch.targets["row"].tolist()
        mean = fabric.all_reduce(loss, reduce_op="sum") / (sampler.tokens_per_step * len(sampler))
        seen = fabric.all_reduce(torch.tensor(len(set(rows)), device=fabric.device), reduce_op="sum")
        fabric.print(f"epoch {epoch}: {len(sampler)} steps, {int(seen)} rows, loss {float(mean):.3f}")


if __name__ == "__main__":
    main()
