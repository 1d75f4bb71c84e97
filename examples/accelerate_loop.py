"""Train in a loop of Hugging Face Accelerate, in one process or several.

    python examples/accelerate_loop.py
    accelerate launch --cpu --num_processes 2 examples/accelerate_loop.py

The model says for each number of a series whether it is larger than all numbers before it.

Do not give the loader to ``Accelerator.prepare``. The sampler splits the rows among the processes, and ``prepare``
would split them a second time. Use a ``DataLoaderShard``, the class that ``prepare`` returns for a loader: it moves
batches to the device, sets the epoch and knows the last batch, so gradient accumulation works.
"""

import argparse
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import set_seed
from records import RecordTagger, records

from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--accumulate", type=int, default=2, help="batches a step (default 2)")
    parser.add_argument("--cpu", action="store_true", help="use the CPU")
    options = parser.parse_args(arguments)

    accelerator = Accelerator(cpu=options.cpu, gradient_accumulation_steps=options.accumulate)
    set_seed(0)
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    # After the Accelerator, because the sampler splits the rows among the processes that run at this moment.
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=256 // accelerator.num_processes)
    loader = DataLoaderShard(
        dataset,
        batch_sampler=sampler,
        collate_fn=PackCollate("series", targets=["is_record", "row"]),
        device=accelerator.device,
    )
    model = RecordTagger(32)
    model, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=1e-2))
    loss_function = CrossEntropy()

    for epoch in range(options.epochs):
        loss = torch.zeros((), device=accelerator.device)
        rows: list[int] = []
        steps = 0
        for batch in loader:
            with accelerator.accumulate(model):
                logits = model(batch.inputs["series"])
                total, _ = loss_function.total(logits, batch.targets["is_record"])
                # tokens_per_step counts all processes; Accelerate averages their gradients.
                accelerator.backward(total * (accelerator.num_processes / sampler.tokens_per_step))
                optimizer.step()
                optimizer.zero_grad()
                steps += accelerator.sync_gradients
            loss += total.detach()
            rows += batch.targets["row"].tolist()
        mean = accelerator.reduce(loss) / (sampler.tokens_per_step * len(sampler))
        seen = int(accelerator.reduce(torch.tensor(len(set(rows)), device=accelerator.device)))
        accelerator.print(f"epoch {epoch}: {steps} steps, {seen} rows, loss {float(mean):.3f}")
    # Delete the model before the process group, or the exit may hang.
    model, optimizer = accelerator.free_memory(model, optimizer)
    accelerator.end_training()


if __name__ == "__main__":
    main()
