"""Log a fit and a test to MLflow, in a database file on this machine.

    pip install -c constraints.txt -e '.[loggers]'
    python examples/log_to_mlflow.py
    mlflow ui --backend-store-uri sqlite:///mlflow.db     # look at the runs; needs the package mlflow
    python examples/log_to_mlflow.py --tracking-uri http://localhost:5000

The same from the command line needs no script: see docs/howto/logging.md.
"""

import argparse
from collections.abc import Sequence
from functools import partial

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import MLFlowLogger
from quickstart import bracketed

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint, Throughput
from seqkit.nn import LSTM, Embedding


def main(arguments: Sequence[str] | None = None) -> str:
    """Run the example with these command-line arguments, by default those of the process.

    Returns:
        The id of the run.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of sentences (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db", help="a database or a server")
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
    logger = MLFlowLogger(experiment_name="brackets", tracking_uri=options.tracking_uri)
    logger.log_hyperparams(sizes)  # a model logs none: its arguments contain the vocabulary
    trainer = Trainer(
        max_epochs=options.epochs,
        logger=logger,
        log_every_n_steps=10,
        callbacks=[BestCheckpoint(dirpath=f"runs/{logger.run_id}"), Throughput()],
    )
    trainer.fit(model, data)
    trainer.test(model, data, ckpt_path="best", weights_only=True)
    return str(logger.run_id)


if __name__ == "__main__":
    main()
