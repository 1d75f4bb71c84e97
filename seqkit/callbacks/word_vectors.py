"""Pre-trained word vectors in an embedding, kept as they are for as long as wanted."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from seqkit.batch import Batch
from seqkit.data.encoders import vocabulary
from seqkit.data.word_vectors import Vectors, read_vectors
from seqkit.nn.embedding import Embedding
from seqkit.tasks.encoder_task import EncoderTask
from seqkit.tasks.language_model import LanguageModel


class WordVectors(Callback):
    """Start an embedding from a file of word vectors when a fit begins.

    The file is not needed again: neither to go on from a checkpoint, nor to test or predict from one. A fit that
    goes on from a checkpoint that was made without it keeps its embedding, and warns. It is said once how many
    words of the training vocabulary have a vector; the others, and the unknown word, are learned from the start.

    Args:
        path: The file; see :func:`seqkit.data.read_vectors`.
        column: The input; by default the main one. Its embedding is a :class:`seqkit.nn.Embedding`.
        frozen_epochs: For how many epochs the vectors stay as they are in the file, -1 for all; then they are tuned
            like all else.
        fold_case: Whether a word may have the vector of one that differs in case only.

    Raises:
        ValueError: When a fit begins: for the column, for the size of the vectors, for what is wrong with the file.
        TypeError: When a fit begins: the task is none of those that embed inputs by column.
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
        self._known: Tensor | None = None
        self._kept: Tensor | None = None
        self._restored = False

    def state_dict(self) -> dict[str, Any]:
        """Which words have a vector."""
        return {"known": self._known}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on: the vectors are in the model."""
        self._known = state_dict["known"]

    def on_load_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Leave the embedding as the checkpoint has it, also where that was made without this callback."""
        self._restored = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """What was read or restored before counts no more in a new fit; Lightning restores after this."""
        self._restored = False
        if stage == "fit" and not trainer.global_step:
            self.vectors = self._known = self._kept = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the file, unless the fit goes on."""
        if self._restored or trainer.global_step:
            if self._known is None:
                rank_zero_warn(
                    f"WordVectors: the checkpoint was made without word vectors; its embedding stays as it is, and "
                    f"{self.path} is not read. Begin a new fit to start from the file"
                )
            return
        embedding, words = self._embedding(pl_module)
        self.vectors = read_vectors(self.path, words, fold_case=self.fold_case)
        self.vectors.fill(embedding.weight)
        self._known = self.vectors.known
        rank_zero_info(f"{self.path}: {self.vectors.describe(words)}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze, also in an epoch that was interrupted."""
        self._freeze(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze, or let go."""
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
        if self._kept is not None:
            embedding, _ = self._embedding(pl_module)
            with torch.no_grad():
                embedding.weight[embedding.frozen] = self._kept

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Let go."""
        self._embedding(pl_module)[0].freeze(None)
        self._kept = None

    def _freeze(self, trainer: Trainer, pl_module: LightningModule) -> None:
        embedding, _ = self._embedding(pl_module)
        frozen = self._known is not None and (
            self.frozen_epochs == -1 or trainer.current_epoch < self.frozen_epochs
        )
        embedding.freeze(self._known if frozen else None)
        decays = any(
            group.get("weight_decay") for optimizer in trainer.optimizers for group in optimizer.param_groups
        )
        self._kept = embedding.weight.detach()[embedding.frozen].clone() if frozen and decays else None

    def _embedding(self, task: LightningModule) -> tuple[Embedding, list[str]]:
        if not isinstance(task, EncoderTask | LanguageModel):
            raise TypeError(f"WordVectors: {type(task).__name__} has no embeddings by input, as Tagger has")
        inputs = task.spec["inputs"]
        column = self.column or next(iter(inputs))
        if column not in inputs:
            raise ValueError(f"WordVectors: there is no input {column!r}; the inputs are {list(inputs)}")
        # The other sequence of a pair goes through the main one's embedding.
        place = 0 if inputs[column].get("unaligned") else list(inputs).index(column)
        embedding = task.embeddings[place]
        if not isinstance(embedding, Embedding):
            raise ValueError(
                f"WordVectors: input {column!r} goes through {type(embedding).__name__}; "
                f"give it a seqkit.nn.Embedding"
            )
        words = vocabulary(inputs[column])
        # Ids beyond the vocabulary, such as a language model's boundary, are no words.
        return embedding, [*words, *[""] * (embedding.input_size - len(words))]
