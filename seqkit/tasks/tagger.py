"""One label, or one set of labels, a token."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch.optim import Adam

from seqkit.losses import Loss
from seqkit.tasks.base import Part, Schedule
from seqkit.tasks.labels import LabelTask


class Tagger(LabelTask):
    """Label every token: parts of speech, kinds of characters, events in a series.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``. Its one target is a class or labels a token.
        encoder: See :class:`~seqkit.tasks.base.Task`.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        loss: By default cross-entropy, or binary cross-entropy where a token has any number of labels.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        causal: See :class:`~seqkit.tasks.base.Task`.
        per_class: Report each class's F1, too.

    Raises:
        ValueError: The target is not a label per token; see also :class:`~seqkit.tasks.base.Task`.
    """

    per = "token"

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        loss: Callable[[], Loss] | None = None,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        causal: bool = False,
        per_class: bool = False,
    ) -> None:
        super().__init__(
            spec,
            encoder,
            embedding,
            embeddings,
            None,
            loss,
            dropout,
            optimizer,
            lr_scheduler,
            causal,
            per_class,
        )
