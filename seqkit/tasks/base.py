"""What most tasks share: an encoder, a head, and one or more targets aligned with its output."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import Loss, Values
from seqkit.nn.dropout import Dropout
from seqkit.tasks.steps import Part, Predictions, Schedule, Steps

__all__ = ["Part", "Predictions", "Schedule", "Task"]


class Task(Steps, ABC):
    """Embed, encode, drop out, pool if the target is per sequence, and apply one linear head: all on packed data.

    Every unit (token, or sequence where the target is per sequence) weighs the same in the gradient, whichever
    batch, rank or micro-batch it falls in: a batch's loss is summed and divided by the plan's *constant* mean
    number of units an optimiser step, which the :class:`~seqkit.data.LengthBucketSampler` of the training loader
    knows. With another sampler no such constant is known, and the loss is the mean over each batch. What is
    logged is always the plain mean per unit.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``.
        encoder: The encoder, without its ``input_size``; the built module has ``output_size`` and maps a
            PackedSequence to a PackedSequence and its state, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding of every input of ids, without its number of ids.
        embeddings: By column: the embedding of an input that needs its own, without its number of ids or, for
            features, their width. Features without one enter the encoder as they are; what holds a sequence of ids
            for each token, such as its characters, needs one that gives a vector each, such as
            :class:`seqkit.nn.CharacterLSTM`. All are concatenated.
        pooling: For a target per sequence: the pooling, without its ``input_size``.
        loss: The loss, without arguments still to come.
        dropout: Probability of dropping a feature of the encoder's input and of its output.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The schedule; see :data:`Schedule`.
        causal: Whether the output at a step may depend on nothing later; refuses a bidirectional encoder.

    Raises:
        ValueError: The spec has not exactly one target, or one of another kind; an input of ids has no embedding;
            a bidirectional encoder in a causal task.
        TypeError: A part from which a checkpoint could not rebuild the model (a lambda, say).
    """

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None,
        embeddings: dict[str, Part] | None,
        pooling: Part | None,
        loss: Callable[[], Loss],
        dropout: float,
        optimizer: OptimizerCallable,
        lr_scheduler: Schedule | None,
        causal: bool,
    ) -> None:
        super().__init__(spec, optimizer, lr_scheduler)
        if len(spec["targets"]) != 1:
            raise ValueError(
                f"{type(self).__name__} needs exactly one target, but the data has {list(spec['targets'])}; "
                f"name one column in `targets`"
            )
        self.target_column, self.target = next(iter(spec["targets"].items()))
        self.loss = loss()
        self.embeddings = nn.ModuleList()  # by position: a column may have any name
        parts = embeddings or {}
        input_size = 0
        for column, entry in spec["inputs"].items():
            part = parts.get(column, embedding if entry["kind"] == "ids" else None)
            if part is not None:
                self.embeddings.append(part(entry["size"]))
                input_size += cast(int, self.embeddings[-1].output_size)
            elif entry["kind"] == "features":
                self.embeddings.append(nn.Identity())
                input_size += entry["size"]
            elif entry["kind"] == "nested":
                raise ValueError(
                    f"input {column!r} holds a sequence of ids for each token, but `embeddings` has nothing for it; "
                    f"give, for example, seqkit.nn.CharacterLSTM with embedding_dim=32 and hidden_size=64"
                )
            else:
                raise ValueError(
                    f"input {column!r} holds ids, but no embedding is given; give `embedding`, for example "
                    f"seqkit.nn.Embedding with embedding_dim=64"
                )
        unknown = set(parts) - set(spec["inputs"])
        if unknown:
            raise ValueError(f"embeddings for {sorted(unknown)}, but the inputs are {list(spec['inputs'])}")
        self.encoder = encoder(input_size)
        _check_encoder(self.encoder, causal=causal, task=type(self).__name__)
        features = cast(int, self.encoder.output_size)
        self.pooling = None
        if self.target["per"] == "sequence":
            if pooling is None:
                raise ValueError(
                    f"target {self.target_column!r} is per sequence, and {type(self).__name__} has no pooling; "
                    f"give `pooling`, or use Classifier or Regressor"
                )
            self.pooling = pooling(features)
            features = cast(int, self.pooling.output_size)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(features, self.output_size())
        self._add_metrics()

    # What a task says of itself.

    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs a unit."""

    @abstractmethod
    def build_metrics(self) -> list[MetricCollection]:
        """The metrics of one stage: one collection for each pair that :meth:`measured` gives."""

    @abstractmethod
    def measured(self, output: Values, target: Values) -> Sequence[tuple[Values, Values]]:
        """What the metrics compare: predictions and targets, one unit a row, or packed."""

    @abstractmethod
    def decode(self, output: Values) -> Values:
        """Turn outputs into predictions in the terms of the target: class ids, multi-hot labels or values."""

    @abstractmethod
    def plain(self, predicted: Tensor) -> list[Any]:
        """The predictions of some units in plain types: label names or numbers, one a unit."""

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss summed over the units that count, and their number."""
        return self.loss.total(output, target)

    # The model.

    def forward(self, inputs: dict[str, PackedSequence]) -> Values:
        """Compute the outputs of a batch.

        Args:
            inputs: By column, packed, data (N, ...).

        Returns:
            Per token: packed, data (N, C). Per sequence: (B, C).

        Raises:
            KeyError: An input column of the spec is missing.
        """
        features: list[PackedSequence] = []
        for column, embedding in zip(self.spec["inputs"], self.embeddings, strict=True):
            if column not in inputs:
                raise KeyError(f"the batch lacks the input {column!r}; it has {list(inputs)}")
            found = embedding(inputs[column])
            # Of a sequence of sequences a vector each, in the order of the main input's data.
            features.append(found if isinstance(found, PackedSequence) else features[0]._replace(data=found))
        embedded = features[0] if len(features) == 1 else packed.cat(features)
        hidden, state = self.encoder(self.dropout(embedded))
        if self.pooling is None:
            hidden = self.dropout(hidden)
            return cast(PackedSequence, hidden._replace(data=self.head(hidden.data)))
        pooled = self.pooling(hidden, state)
        return cast(Tensor, self.head(nn.functional.dropout(pooled, self.dropout.p, self.training)))

    # The step, written once.

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage.

        Returns:
            In training, the :meth:`~seqkit.tasks.steps.Steps.objective`. Otherwise the mean.
        """
        if not len(batch.rows):
            return self.no_objective()
        target = batch.targets[self.target_column]
        output = self(batch.inputs)
        total, units = self.compute_loss(output, target)
        with torch.no_grad():
            self._measure(stage, total.detach(), units, lambda: self.measured(output, target))
        return self.objective(total, units) if stage == "train" else total / units.clamp(min=1)

    def plan_units(self, plan: Any) -> float:
        """The mean number of tokens, or of sequences, of a step by the training loader's plan."""
        per_sequence = self.target["per"] == "sequence"
        return float(plan.sequences_per_step if per_sequence else plan.tokens_per_step)

    def predict_step(self, batch: Batch, _: int) -> Predictions:
        """Predict a batch, in plain types."""
        rows = batch.rows.tolist()
        if not rows:
            return Predictions([], {self.target_column: []})
        predicted = self.decode(self(batch.inputs))
        if isinstance(predicted, PackedSequence):
            column: list[Any] = [self.plain(values) for values in packed.unpack(predicted)]
        else:
            column = self.plain(predicted)
        return Predictions(rows, {self.target_column: column})


def _check_encoder(encoder: nn.Module, *, causal: bool, task: str) -> None:
    if not isinstance(getattr(encoder, "output_size", None), int):
        raise ValueError(
            f"encoder {type(encoder).__name__} has no `output_size`; an encoder has `input_size`, `output_size` "
            f"and forward(PackedSequence) -> (PackedSequence, state), as seqkit.nn.LSTM has"
        )
    if causal and any(getattr(module, "bidirectional", False) for module in encoder.modules()):
        raise ValueError(
            f"{task} is causal, but encoder {type(encoder).__name__} is bidirectional: its backward direction "
            f"sees later steps; set bidirectional=False, or causal=False"
        )
