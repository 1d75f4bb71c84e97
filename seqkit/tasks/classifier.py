"""One label, or one set of labels, a sequence."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch.optim import Adam

from seqkit.losses import Loss
from seqkit.nn.pooling import LastPool
from seqkit.tasks.base import Part, Schedule
from seqkit.tasks.labels import LabelTask


class Classifier(LabelTask):
    """Label every sequence: the topic of a text, the speaker of an utterance, the class of a time series.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``. Its one target is a class or labels a sequence.
        encoder: See :class:`~seqkit.tasks.base.Task`.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        pooling: See :class:`~seqkit.tasks.base.Task`; by default the final states.
        loss: By default cross-entropy, or binary cross-entropy where a sequence has any number of labels.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        per_class: Report each class's F1, too.
        attention: See :class:`~seqkit.tasks.base.Task`.

    Raises:
        ValueError: The target is not a label per sequence; see also :class:`~seqkit.tasks.base.Task`.
    """

    per = "sequence"

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        pooling: Part = LastPool,
        loss: Callable[[], Loss] | None = None,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        per_class: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__(
            spec,
            encoder,
            embedding,
            embeddings,
            pooling,
            loss,
            dropout,
            optimizer,
            lr_scheduler,
            False,
            per_class,
            attention,
        )
