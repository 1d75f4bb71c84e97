"""Initialise an embedding with pre-trained word vectors."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from seqkit.batch import Batch
from seqkit.data import Vectors, read_vectors
from seqkit.data.encoders import vocabulary
from seqkit.nn import Embedding


class WordVectors(Callback):
    """Initialise an embedding from a file of word vectors when a new fit starts.

    A message says how many words of the training vocabulary have a vector. The other words, and the unknown word,
    are trained from scratch. The file is not needed to resume, test or predict from a checkpoint. A fit that
    resumes from a checkpoint made without this callback keeps the checkpoint's embedding, and warns.

    Args:
        path: The file; see :func:`seqkit.data.read_vectors`.
        column: The input; by default the main one. Its embedding is a :class:`seqkit.nn.Embedding`.
        frozen_epochs: Number of epochs in which the vectors are frozen, -1 for all; then they are trained like all
            other weights.
        fold_case: Whether a word may have the vector of a word that differs in case only.

    Raises:
        ValueError: ``frozen_epochs`` is less than -1. When a fit starts: there is no such column, the vectors have
            another size than the embedding, or the file is broken.
        TypeError: When a fit starts: the model does not embed inputs by column.
    """

    def __init__(
        self, path: str, column: str | None = None, *, frozen_epochs: int = 0, fold_case: bool = True
    ) -> None:
        if frozen_epochs < -1:
            raise ValueError(
                f"WordVectors: frozen_epochs is {frozen_epochs}; give a number of epochs, or -1 for all"
            )
        self.path = path
        self.column = column
        self.frozen_epochs = frozen_epochs
        self.fold_case = fold_case
        self.vectors: Vectors | None = None
        self._known: Tensor | None = None  # (V,) which words have a vector
        self._frozen_values: Tensor | None = None  # the frozen vectors, if the optimiser would decay them
        self._restored = False

    def state_dict(self) -> dict[str, Any]:
        """Return which words have a vector."""
        return {"known": self._known}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load which words have a vector; the vectors are among the model's weights."""
        self._known = state_dict["known"]

    def on_load_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Keep the checkpoint's embedding, also if it was made without this callback."""
        self._restored = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Forget an earlier fit when a new one starts. Lightning loads the state of a checkpoint after this."""
        self._restored = False
        if stage == "fit" and not trainer.global_step:
            self.vectors = self._known = self._frozen_values = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the file, unless the fit resumes."""
        if self._restored or trainer.global_step:
            if self._known is None:
                rank_zero_warn(
                    f"WordVectors: the checkpoint was made without word vectors; its embedding is kept, and "
                    f"{self.path} is not read. Start a new fit to use the file"
                )
            return
        embedding, words = self._find_embedding(pl_module)
        self.vectors = read_vectors(self.path, words, fold_case=self.fold_case)
        self.vectors.fill(embedding.weight)
        self._known = self.vectors.known
        rank_zero_info(f"{self.path}: {self.vectors.describe(words)}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the vectors; a fit that resumes within an epoch has no start of that epoch."""
        self._freeze(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the vectors, or unfreeze them after ``frozen_epochs``."""
        self._freeze(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Batch,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Undo what the optimiser does to vectors without a gradient, such as weight decay."""
        if self._frozen_values is not None:
            embedding, _ = self._find_embedding(pl_module)
            with torch.no_grad():
                embedding.weight[embedding.frozen] = self._frozen_values

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Unfreeze the vectors."""
        self._find_embedding(pl_module)[0].freeze(None)
        self._frozen_values = None

    def _freeze(self, trainer: Trainer, pl_module: LightningModule) -> None:
        embedding, _ = self._find_embedding(pl_module)
        frozen = self._known is not None and (
            self.frozen_epochs == -1 or trainer.current_epoch < self.frozen_epochs
        )
        embedding.freeze(self._known if frozen else None)
        decays = any(
            group.get("weight_decay") for optimizer in trainer.optimizers for group in optimizer.param_groups
        )
        self._frozen_values = embedding.weight.detach()[embedding.frozen].clone() if frozen and decays else None

    def _find_embedding(self, task: Any) -> tuple[Embedding, list[str]]:
        """Return the column's embedding and the word of each of its rows."""
        embeddings = getattr(task, "embeddings", None)
        if not isinstance(embeddings, nn.ModuleList):
            raise TypeError(f"WordVectors: {type(task).__name__} has no embeddings by input, as Tagger has")
        inputs = task.spec["inputs"]
        column = self.column or next(iter(inputs))
        if column not in inputs:
            raise ValueError(f"WordVectors: there is no input {column!r}; the inputs are {list(inputs)}")
        # Both sequences of a pair go through the main input's embedding.
        position = 0 if inputs[column].get("unaligned") else list(inputs).index(column)
        embedding = embeddings[position]
        if not isinstance(embedding, Embedding):
            raise ValueError(
                f"WordVectors: input {column!r} goes through {type(embedding).__name__}; "
                f"give it a seqkit.nn.Embedding"
            )
        words = vocabulary(inputs[column])
        # Ids beyond the vocabulary, such as a language model's boundary, are no words.
        return embedding, [*words, *[""] * (embedding.input_size - len(words))]
