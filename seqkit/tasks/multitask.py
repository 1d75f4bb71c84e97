"""Several targets over one encoder."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit.batch import Batch
from seqkit.tasks.base import Task
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.encoder_task import Encoded, EncoderTask
from seqkit.tasks.module import Part, Predictions, Schedule, TaskOutput
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.tagger import Tagger

Head = Callable[[dict[str, Any], Part], Task]
"""A task without its ``spec`` and its ``encoder``: a class, or :func:`functools.partial` of one."""


class Passed(nn.Module):
    """Stands for the encoder in a head, which reads what another task's encoder gives.

    Args:
        input_size: H, the features of that encoder's output.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, hidden: PackedSequence) -> tuple[PackedSequence, None]:
        """Pass it on; there is no state."""
        return hidden, None


class MultiTask(EncoderTask):
    """Predict several targets, of one kind or of several, per token and per sequence, from one encoder.

    Each target has a head: a :class:`~seqkit.Tagger`, :class:`~seqkit.Classifier` or :class:`~seqkit.Regressor`
    with its own loss, pooling, decoder and metrics, which are logged as ``val_COLUMN_accuracy``. The loss is the
    weighted sum of the heads' mean losses a unit, and in the gradient every unit of a target weighs the same, as in
    a task of its own.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``, with one target or more.
        encoder: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        embedding: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        embeddings: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        heads: By target column, its head, whose ``spec`` and ``encoder`` are left out. By default a Tagger for
            labels per token, a Classifier for labels per sequence, a Regressor for values.
        weights: By target column, the weight of its loss; 1 by default.
        main: The target column whose own monitor says which checkpoint is best; by default the weighted sum of the
            losses says it.
        dropout: Probability of dropping a feature of the encoder's input. A head has its own for its output.
        optimizer: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        lr_scheduler: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.
        causal: See :class:`~seqkit.tasks.encoder_task.EncoderTask`.

    Raises:
        ValueError: There is no target; a head, a weight or ``main`` is for a column that is no target; a weight is
            negative; see also :class:`~seqkit.tasks.encoder_task.EncoderTask` and the heads.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        heads: dict[str, Head] | None = None,
        weights: dict[str, float] | None = None,
        main: str | None = None,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        causal: bool = False,
    ) -> None:
        super().__init__(spec, encoder, embedding, embeddings, dropout, optimizer, lr_scheduler, causal)
        targets = spec["targets"]
        if not targets:
            raise ValueError("MultiTask needs a target or more, but the data has none; name columns in `targets`")
        named = {
            "heads": set(heads or ()),
            "weights": set(weights or ()),
            "main": set() if main is None else {main},
        }
        for argument, columns in named.items():
            if unknown := columns - set(targets):
                raise ValueError(f"{argument} for {sorted(unknown)}, but the targets are {list(targets)}")
        for column, weight in (weights or {}).items():
            if weight < 0:
                raise ValueError(f"the weight of target {column!r} is {weight}; give one of at least 0")
        size = cast(int, self.encoder.output_size)
        inputs = {
            side[0]: {"kind": "features", "size": size, "unaligned": i > 0} for i, side in enumerate(self.sides)
        }
        self.columns = list(targets)
        self.weights = [(weights or {}).get(column, 1.0) for column in targets]
        for i, (column, entry) in enumerate(targets.items()):
            head = (heads or {}).get(column) or _default_head(entry)
            # A child, to which Lightning lends the trainer; by position, for a column may have any name.
            self.add_module(f"head_{i}", head({"inputs": inputs, "targets": {column: entry}}, Passed))
        if main is not None:
            name, mode = self.heads[main].monitor
            self.monitor = (_renamed(name, main), mode)

    @property
    def heads(self) -> dict[str, Task]:
        """By target column, its head."""
        return {column: cast(Task, self.get_submodule(f"head_{i}")) for i, column in enumerate(self.columns)}

    def build_metrics(self) -> list[MetricCollection]:
        """None of its own: the heads have them."""
        return []

    def read(self, encoded: list[Encoded]) -> dict[str, Any]:
        """Compute each head's output from the encoder's, by target column."""
        return {column: head.read(encoded) for column, head in self.heads.items()}

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage.

        Returns:
            The weighted sum of the heads' losses; see :meth:`seqkit.tasks.base.Task.step`.
        """
        if not len(batch.rows):
            return self.no_objective()
        return self._loss_and_update(self._outcomes(batch), stage)

    def test_step(self, batch: Batch, _: int) -> dict[str, TaskOutput]:
        """One batch of the test split; callbacks get what came of it."""
        if not len(batch.rows):
            return {}
        outcomes = self._outcomes(batch)
        self._loss_and_update(outcomes, "test")
        return outcomes

    def predict_step(self, batch: Batch, _: int) -> Predictions:
        """Predict all targets of a batch, in plain types; attention as ``TARGET_INPUT_attention``."""
        rows = batch.rows.tolist()
        columns: dict[str, list[Any]] = {}
        if rows:
            encoded = self.encode(batch.inputs)
            for column, head in self.heads.items():
                found = head.predicted(encoded)
                predicted = found.pop(column)
                # What a head says besides has the head's name in front: another may say the same.
                columns |= {column: predicted} | {f"{column}_{name}": values for name, values in found.items()}
        return Predictions(rows, columns)

    # Hooks of Lightning.

    def on_train_start(self) -> None:
        """Let each head take the mean number of its units a step from the training loader's plan."""
        for head in self.heads.values():
            head.on_train_start()

    def on_train_epoch_start(self) -> None:
        """Forget the training metrics of the epoch before."""
        for head in self.heads.values():
            head.on_train_epoch_start()

    # Private.

    def _outcomes(self, batch: Batch) -> dict[str, TaskOutput]:
        outputs = self(batch.inputs)
        return {column: head.outcome(outputs[column], batch) for column, head in self.heads.items()}

    def _loss_and_update(self, outcomes: dict[str, TaskOutput], stage: str) -> Tensor:
        losses: list[Tensor] = []
        values: dict[str, Tensor] = {}
        for column, head in self.heads.items():
            loss, found = head.loss_and_update(outcomes[column], stage)
            losses.append(loss)
            values |= {_renamed(name, column): value for name, value in found.items()}
        if stage == "train":
            each = [values[f"train_{column}_loss"] for column in self.columns]
            values["train_loss"] = self._weighted(each)
        self._log_values(values)
        return self._weighted(losses)

    def _epoch_values(self, stage: str) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for column, head in self.heads.items():
            found = head._epoch_values(stage)
            values |= {_renamed(name, column): value for name, value in found.items()}
        losses = [values[f"{stage}_{column}_loss"] for column in self.columns]
        return {f"{stage}_loss": self._weighted(losses)} | values

    def _weighted(self, losses: list[Tensor]) -> Tensor:
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()


def _default_head(entry: dict[str, Any]) -> Head:
    if entry["kind"] == "value":
        return Regressor
    return Tagger if entry["per"] == "token" else Classifier


def _renamed(name: str, column: str) -> str:
    """``val_accuracy`` as ``val_COLUMN_accuracy``."""
    stage, _, metric = name.partition("_")
    return f"{stage}_{column}_{metric}"
