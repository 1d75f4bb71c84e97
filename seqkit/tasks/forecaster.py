"""The next steps of a series, at every step."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import MSE, Loss, Quantile, Values, unit_values
from seqkit.metrics import regression_metrics
from seqkit.packed import PackedLayout
from seqkit.tasks.base import Task
from seqkit.tasks.encoder_task import check_steps_kept
from seqkit.tasks.module import Part, Schedule, TaskOutput


class Forecaster(Task):
    """Predict, at every step of a series, its values at the next ``horizon`` steps.

    The target is the series itself, shifted: the data has inputs and no target. A unit of the loss is one step
    ahead of one step; those that lie behind a sequence's end do not count, so that its last step counts nowhere.
    The net computes values as the data standardised them, and so does the loss; metrics and predictions are in the
    column's own units. Predictions are the ``horizon`` steps that follow each sequence's last one.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``, without a target.
        encoder: See :class:`~seqkit.tasks.base.Task`; in one direction, for the other one reads the target.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        horizon: How many steps ahead.
        column: The input to forecast; by default the first that holds features.
        loss: By default squared error.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        per_horizon: Report the errors of each step ahead, too, as ``rmse_1``, ``mae_1`` and so on.

    Raises:
        ValueError: The data has a target; ``column`` holds no features; the horizon is less than 1; the encoder
            changes the number of steps; the loss is :class:`~seqkit.losses.Quantile`; see also
            :class:`~seqkit.tasks.base.Task`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None = None,
        embeddings: dict[str, Part] | None = None,
        horizon: int = 1,
        column: str | None = None,
        loss: Callable[[], Loss] = MSE,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        per_horizon: bool = False,
    ) -> None:
        if horizon < 1:
            raise ValueError(f"Forecaster got horizon={horizon}; give a number of steps of at least 1")
        self.horizon = horizon
        self.per_horizon = per_horizon
        self._column = column
        super().__init__(
            spec, encoder, embedding, embeddings, None, loss, dropout, optimizer, lr_scheduler, causal=True
        )
        check_steps_kept(self.encoder, "Forecaster")
        if isinstance(self.loss, Quantile):
            raise ValueError("Forecaster predicts one value a step ahead; use MSE, L1 or Huber, not Quantile")
        self.monitor = ("val_rmse", "min")
        for name in ("mean", "std"):
            values = torch.tensor(self.target["init_args"][name], dtype=torch.float32)  # (D,)
            self.register_buffer(name, values, persistent=False)

    def find_target(self) -> tuple[str, dict[str, Any]]:
        """The series' column, as a target per step."""
        if self.spec["targets"]:
            raise ValueError(
                f"Forecaster derives its target from an input, but the data has the targets "
                f"{list(self.spec['targets'])}; leave out `targets`, or use Regressor"
            )
        inputs = self.spec["inputs"]
        columns = [column for column, entry in inputs.items() if entry["kind"] == "features"]
        column = self._column if self._column is not None else next(iter(columns), None)
        if column not in columns:
            raise ValueError(
                f"Forecaster needs an input of features to forecast, but column={self._column!r} and those with "
                f"features are {columns}, of the inputs {list(inputs)}; for ids use LanguageModel"
            )
        assert column is not None
        return column, inputs[column] | {"per": "token"}

    def output_size(self) -> int:
        """One output a channel and step ahead."""
        return self.horizon * int(self.target["size"])

    def build_metrics(self) -> list[MetricCollection]:
        """Root mean squared and mean absolute error over all steps ahead; if asked, of each."""
        each = range(1, self.horizon + 1) if self.per_horizon else ()
        return [regression_metrics(), *(regression_metrics().clone(postfix=f"_{ahead}") for ahead in each)]

    def outcome(self, output: Values, batch: Batch) -> TaskOutput:
        """A batch's output beside the series."""
        return TaskOutput(output, batch.inputs[self.target_column])

    def plan_units(self, plan: Any) -> float:
        """The mean number of steps ahead of a step by the training loader's plan, sequences' ends not taken off."""
        return float(plan.tokens_per_step * self.horizon)

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss summed over all steps ahead that exist, and their number."""
        pairs = self._pairs(output, target)
        return self.loss.total(*(torch.cat(side) for side in zip(*pairs, strict=True)))

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """Predicted and true values, flat, of all steps ahead, and of each."""
        pairs = [
            tuple((values * self.std + self.mean).reshape(-1) for values in pair)
            for pair in self._pairs(output, target)
        ]
        every = tuple(torch.cat(side) for side in zip(*pairs, strict=True))
        return cast(list[tuple[Tensor, Tensor]], [every, *(pairs if self.per_horizon else ())])

    def decode(self, output: Values) -> Values:
        """Values at each step ahead (N, horizon, D), in the column's own units."""
        values = unit_values(output).reshape(-1, self.horizon, int(self.target["size"])) * self.std + self.mean
        return cast(PackedSequence, output)._replace(data=values)

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Lists of steps ahead, each a number, or a list of one number a channel."""
        return (predicted.squeeze(-1) if predicted.shape[-1] == 1 else predicted).tolist()

    def listed(self, predicted: Values) -> list[Any]:
        """What follows each sequence's last step."""
        return self.to_python(packed.last(cast(PackedSequence, predicted)))

    def _pairs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """By steps ahead: what was predicted and what came, (P, D) each."""
        computed, series = cast(PackedSequence, output), cast(PackedSequence, target)
        ahead = computed.data.reshape(-1, self.horizon, int(self.target["size"]))  # (N, horizon, D)
        places = series._replace(data=torch.arange(len(series.data), device=series.data.device))
        pairs = []
        for steps in range(1, self.horizon + 1):
            # All tokens from that time step on have one so many steps before: they stand last in packed data.
            begin = PackedLayout.of(series).start(steps)
            before = packed.shift(places, steps, 0).data[begin:]
            pairs.append((ahead[before, steps - 1], series.data[begin:]))
        return pairs
