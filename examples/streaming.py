"""Train on a stream of rows, and resume in the middle of an epoch.

    python examples/streaming.py

Writes eight parquet files of generated sentences, trains a tagger on them as a stream, stops in the middle of an
epoch and continues from the checkpoint. For a dataset of the hub, use ``seqkit.data.Hub("owner/name")`` as source.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from lightning.pytorch import Callback, LightningModule, Trainer

from seqkit import SequenceDataModule, Tagger
from seqkit.data import Files
from seqkit.nn import LSTM, Embedding


def write_shards(folder: Path) -> None:
    """Write sentences whose tags say whether the letter occurred before."""
    random = np.random.default_rng(0)
    for shard in range(8):
        words = [random.choice(list("abcdefghij"), n).tolist() for n in random.geometric(0.1, 100)]
        tags = [["again" if word in row[:i] else "new" for i, word in enumerate(row)] for row in words]
        Dataset.from_dict({"words": words, "tags": tags}).to_parquet(str(folder / f"{shard}.parquet"))


class StopInTheMiddle(Callback):
    """Save a checkpoint and stop, to simulate an interrupted run."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:  # noqa: ARG002
        """Stop after 40 steps."""
        if trainer.global_step == 40:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/middle.ckpt")
            trainer.should_stop = True


def fit(folder: Path, checkpoint: str | None = None) -> Trainer:
    """Train for two epochs, from the checkpoint if one is given."""
    data = SequenceDataModule(
        Files(train=str(folder / "*.parquet")), "words", "tags", max_tokens=256, streaming=True, pool=400
    )
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=16),
        encoder=partial(LSTM, hidden_size=32),
        optimizer=partial(torch.optim.Adam, lr=0.02),
    )
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[] if checkpoint else [StopInTheMiddle()],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    loss, tokens = trainer.callback_metrics["train_loss"], trainer.train_dataloader.dataset.tokens_per_step
    print(f"epoch {trainer.current_epoch}, step {trainer.global_step}, loss {loss:.3f}, {tokens:.0f} tokens a step")
    return trainer


def main() -> None:
    """Fit until the interruption, then continue."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder))
        fit(Path(folder))
        fit(Path(folder), f"{folder}/middle.ckpt")


if __name__ == "__main__":
    main()
