"""Stop in the middle of an epoch and continue with the next batch, with torchdata's StatefulDataLoader.

    python examples/stateful_loader.py
    python examples/stateful_loader.py --workers 2 --stop 9

Batches that workers fetched but the loop did not use are not lost.
"""

import argparse
from collections.abc import Sequence

import datasets
import torch
from torchdata.stateful_dataloader import StatefulDataLoader

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths


def series(rows: int, generator: torch.Generator) -> datasets.Dataset:
    """Make series of 1 to 30 numbers."""
    sizes = torch.randint(1, 31, (rows,), generator=generator).tolist()
    values = [torch.randn(size, generator=generator).tolist() for size in sizes]
    return datasets.Dataset.from_dict({"row": list(range(rows)), "series": values})


def loader_of(dataset: datasets.Dataset, workers: int) -> StatefulDataLoader[Batch]:
    """Make a new loader, as a new process does."""
    sampler = LengthBucketSampler(lengths(dataset, "series"), max_tokens=256)
    return StatefulDataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        collate_fn=PackCollate("series", targets="row"),
        num_workers=workers,
    )


def rows_of(batch: Batch) -> list[int]:
    """Return the rows of a batch, longest first."""
    return batch.targets["row"].tolist()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="number of series (default 300)")
    parser.add_argument("--epoch", type=int, default=1, help="the interrupted epoch (default 1)")
    parser.add_argument("--stop", type=int, default=5, help="batches before the interruption (default 5)")
    parser.add_argument("--workers", type=int, default=0, help="worker processes (default 0)")
    options = parser.parse_args(arguments)
    dataset = series(options.rows, torch.Generator().manual_seed(0))

    loader = loader_of(dataset, options.workers)
    loader.sampler.set_epoch(options.epoch)
    uninterrupted = [rows_of(batch) for batch in loader]

    loader = loader_of(dataset, options.workers)
    loader.sampler.set_epoch(options.epoch)
    before = []
    for batch in loader:
        before.append(rows_of(batch))
        if len(before) == options.stop:
            break
    state = loader.state_dict()
    print(f"stopped after {len(before)} of {len(uninterrupted)} batches of epoch {options.epoch}")

    loader = loader_of(dataset, options.workers)
    loader.load_state_dict(state)
    after = [rows_of(batch) for batch in loader]
    print(f"continued with {len(after)} batches")
    print("the same batches as without the stop:", before + after == uninterrupted)
    seen = sorted(row for batch in before + after for row in batch)
    print("every row once:", seen == list(range(options.rows)))

    # The next epoch is whole again.
    loader.sampler.set_epoch(options.epoch + 1)
    print(f"epoch {options.epoch + 1} has", sum(1 for _ in loader), "batches")


if __name__ == "__main__":
    main()
