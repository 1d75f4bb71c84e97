"""Log a fit and a test to Weights & Biases, without a network.

    pip install -c constraints.txt -e '.[loggers]'
    python examples/log_to_wandb.py
    wandb sync runs/wandb/offline-run-*     # later: send the run to the server
    python examples/log_to_wandb.py --online

The same from the command line needs no script: see docs/howto/logging.md.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from quickstart import bracketed

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint, Throughput
from seqkit.nn import LSTM, Embedding


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the example with these command-line arguments, by default those of the process.

    Returns:
        The last value of everything that was logged, by name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of sentences (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--folder", default="runs", help="where the run is written (default runs)")
    parser.add_argument("--online", action="store_true", help="send the run to the server at once")
    options = parser.parse_args(arguments)

    sizes = {"embedding_dim": 16, "hidden_size": 32, "lr": 1e-2, "max_tokens": 512}
    data = SequenceDataModule(
        bracketed(options.rows),
        inputs="words",
        targets="tags",
        max_tokens=sizes["max_tokens"],
        test_fraction=0.1,
    )
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=sizes["embedding_dim"]),
        encoder=partial(LSTM, hidden_size=sizes["hidden_size"], bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=sizes["lr"]),
    )
    logger = WandbLogger(project="brackets", save_dir=options.folder, offline=not options.online)
    logger.log_hyperparams(sizes)  # a model logs none: its arguments contain the vocabulary
    trainer = Trainer(
        max_epochs=options.epochs,
        logger=logger,
        log_every_n_steps=10,
        callbacks=[BestCheckpoint(), Throughput()],
    )
    trainer.fit(model, data)
    trainer.test(model, data, ckpt_path="best", weights_only=True)
    logged = dict(logger.experiment.summary)
    logger.experiment.finish()
    return logged


if __name__ == "__main__":
    main()
