"""Train on several devices, and count what each of them reads.

    python examples/many_devices.py
    python examples/many_devices.py --accelerator cpu --devices 2
    torchrun --nproc-per-node 2 examples/many_devices.py --accelerator cpu --devices 2

The last line of each epoch says whether every row was read once, by one of the devices.
"""

import argparse
from collections.abc import Sequence
from functools import partial

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from quickstart import bracketed

from seqkit import Batch, SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding


class Counts(Callback):
    """Print the steps and tokens of each rank after an epoch, and whether every row was read once."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from 0."""
        rows = len(trainer.datamodule.splits["train"])
        self.reads = torch.zeros(rows, dtype=torch.long, device=pl_module.device)  # of each row
        self.counts = torch.zeros(2, dtype=torch.long, device=pl_module.device)  # steps and tokens

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,
        outputs: object,  # noqa: ARG002
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count the rows and the tokens of a batch."""
        self.reads[batch.rows] += 1
        self.counts += torch.tensor([1, len(batch.inputs["words"].data)], device=pl_module.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the counts of all ranks on the first one."""
        steps, tokens = pl_module.all_gather(self.counts).reshape(-1, 2).T.tolist()
        reads = pl_module.all_gather(self.reads).reshape(-1, len(self.reads)).sum(0)
        if trainer.is_global_zero:
            loss = float(trainer.callback_metrics["val_loss"])
            print(f"epoch {trainer.current_epoch}: steps {steps}, tokens {tokens}, validation loss {loss:.4f}")
            print(f"every row once: {bool((reads == 1).all())}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of sentences (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, ... (default: the best one present)")
    parser.add_argument("--devices", type=int, default=1, help="devices of a node (default 1)")
    parser.add_argument("--nodes", type=int, default=1, help="number of nodes (default 1)")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data = SequenceDataModule(
        bracketed(options.rows),
        inputs="words",
        targets="tags",
        max_tokens=512 // (options.devices * options.nodes),  # of one device; a step has 512 on any number of them
    )
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=16),
        encoder=partial(LSTM, hidden_size=32, bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    trainer = Trainer(
        max_epochs=options.epochs,
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        callbacks=[Counts()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)


if __name__ == "__main__":
    main()
