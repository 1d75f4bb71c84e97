"""The parts in transformers.Trainer, with all that it does around the step.

    python examples/transformers_trainer.py
    torchrun --nproc_per_node 2 examples/transformers_trainer.py --cpu

The net says of every number of a series whether it is larger than all before it.

The collate function is the Trainer's ``data_collator``. A subclass of a few lines makes the loader, for the
Trainer's own would deal the sampler's batches to the processes once more, and takes the loss.
"""

import argparse
import gc
from collections.abc import Sequence
from typing import Any

import datasets
import torch
from accelerate.data_loader import DataLoaderShard
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from transformers import Trainer, TrainingArguments, set_seed

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy
from seqkit.nn import LSTM


class PackedTrainer(Trainer):
    """A Trainer on packed batches of ``max_tokens`` tokens in all."""

    def __init__(self, max_tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self.sampler = LengthBucketSampler(
            lengths(self.train_dataset, "series"),
            max_tokens=max_tokens // self.args.world_size,
            seed=self.args.seed,
        )
        self.loss_function = CrossEntropy()

    def get_train_dataloader(self) -> DataLoaderShard:
        """Batches of the sampler, on the device."""
        return DataLoaderShard(
            self.train_dataset,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            device=self.args.device,
            num_workers=self.args.dataloader_num_workers,
        )

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        return inputs  # the loader has moved them; the Trainer would take a PackedSequence to pieces

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,  # noqa: ARG002
    ) -> Any:
        """The sum over tokens, over the mean number of tokens of a batch of all processes."""
        logits = model(inputs.inputs["series"])
        total, _ = self.loss_function.total(logits, inputs.targets["is_record"])
        loss = total * (self.args.world_size / self.sampler.tokens_per_step)
        return (loss, logits) if return_outputs else loss


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
    parser.add_argument("--folder", default="runs/transformers_trainer", help="where checkpoints would go")
    parser.add_argument("--cpu", action="store_true", help="leave accelerators alone")
    options = parser.parse_args(arguments)

    set_seed(0)
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    trainer = PackedTrainer(
        max_tokens=512,
        model=Net(32),
        train_dataset=dataset,
        data_collator=PackCollate("series", targets=["is_record", "row"]),
        args=TrainingArguments(
            output_dir=options.folder,
            num_train_epochs=options.epochs,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            logging_strategy="epoch",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=options.cpu,
            ddp_find_unused_parameters=False,
        ),
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if trainer.is_world_process_zero():
        print(f"{trainer.state.global_step} steps; loss by epoch:", *(f"{float(loss):.3f}" for loss in losses))
    if torch.distributed.is_initialized():
        del trainer  # the model on several processes must be gone before their group, or the exit may hang
        gc.collect()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
