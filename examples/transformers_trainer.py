"""Train with transformers.Trainer.

    python examples/transformers_trainer.py
    torchrun --nproc_per_node 2 examples/transformers_trainer.py --cpu

The model says for each number of a series whether it is larger than all numbers before it.

The collate function is the Trainer's ``data_collator``. A short subclass makes the loader and computes the loss.
The Trainer's own loader would split the batches among the processes a second time, after the sampler.
"""

import argparse
import gc
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.data_loader import DataLoaderShard
from records import RecordTagger, records
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments, set_seed

from seqkit.batch import Batch
from seqkit.data import LengthBucketSampler, PackCollate, lengths
from seqkit.losses import CrossEntropy


class PackedTrainer(Trainer):
    """A Trainer on packed batches of ``max_tokens`` tokens, those of all processes together."""

    def __init__(self, max_tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self.sampler = LengthBucketSampler(
            lengths(self.train_dataset, "series"),
            max_tokens=max_tokens // self.args.world_size,
            seed=self.args.seed,
        )
        self.loss_function = CrossEntropy()

    def get_train_dataloader(self) -> DataLoaderShard:
        """Load the batches of the sampler onto the device."""
        return DataLoaderShard(
            self.train_dataset,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            device=self.args.device,
            num_workers=self.args.dataloader_num_workers,
        )

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        return inputs  # already on the device; the Trainer cannot move a PackedSequence

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,  # noqa: ARG002
    ) -> Any:
        """Divide the sum over tokens by the mean number of tokens of a step."""
        logits = model(inputs.inputs["series"])
        total, _ = self.loss_function.total(logits, inputs.targets["is_record"])
        loss = total * (self.args.world_size / self.sampler.tokens_per_step)
        return (loss, logits) if return_outputs else loss


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of series (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--folder", default="runs/transformers_trainer", help="output folder of the Trainer")
    parser.add_argument("--cpu", action="store_true", help="use the CPU")
    options = parser.parse_args(arguments)

    set_seed(0)
    dataset = records(options.rows, torch.Generator().manual_seed(0))
    trainer = PackedTrainer(
        max_tokens=512,
        model=RecordTagger(32),
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
        del trainer  # delete the model before the process group, or the exit may hang
        gc.collect()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
