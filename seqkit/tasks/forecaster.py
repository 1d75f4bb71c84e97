"""The next steps of a series, at every step."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.losses import MSE, Loss, Quantile, Values, unit_values, with_unit_values
from seqkit.metrics import ReportMetric, ValueReport, regression_metrics
from seqkit.packed import PackedLayout
from seqkit.tasks.inputs import Encoded, TaskOptions
from seqkit.tasks.outputs import RowReport, TaskOutput, numbers_to_python
from seqkit.tasks.targets import Standardization
from seqkit.tasks.task import Task


class Forecaster(Task):
    """Predict, at every step of a series, its values at the next ``horizon`` steps.

    The target is the series itself, shifted: the data has inputs and no target. A unit of the loss is one step
    ahead of one step. Steps ahead that lie behind a sequence's end do not count, so a sequence's last step has
    no target. The model computes values as the data standardised them, and so does the loss; metrics and
    predictions are in the column's own units. The predictions are the ``horizon`` steps that follow each sequence's
    last one.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``, without a target. The encoder must be in one
            direction, because the other one reads the target.
        horizon: The number of steps ahead.
        column: The input to forecast; by default the first that holds features.
        loss: By default squared error.
        per_horizon: Report the errors of each step ahead, too, as ``rmse_1``, ``mae_1`` and so on.
        options: The encoder and the optimiser; see :class:`~seqkit.Task`.

    Raises:
        ValueError: The data has a target; ``column`` holds no features; the horizon is less than 1; the encoder
            changes the number of steps; the loss is :class:`~seqkit.losses.Quantile`; see also
            :class:`~seqkit.Task`.
    """

    monitor = ("val_rmse", "min")

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        horizon: int = 1,
        column: str | None = None,
        loss: Callable[[], Loss] = MSE,
        per_horizon: bool = False,
        **options: Unpack[TaskOptions],
    ) -> None:
        if horizon < 1:
            raise ValueError(f"Forecaster got horizon={horizon}; give a number of steps of at least 1")
        self.horizon = horizon
        self.per_horizon = per_horizon
        self._column = column
        super().__init__(spec, loss=loss, pooling=None, attention=False, causal=True, **options)
        if isinstance(self.loss, Quantile):
            raise ValueError("Forecaster predicts one value a step ahead; use MSE, L1 or Huber, not Quantile")
        self.standardization = Standardization(self.target)

    def find_target(self) -> tuple[str, dict[str, Any]]:
        """Return the series' column, as a target per step."""
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
        """Return one output per channel and step ahead."""
        return self.horizon * int(self.target["size"])

    def build_metrics(self) -> list[MetricCollection]:
        """Build root mean squared and mean absolute error over all steps ahead and, if asked for, of each."""
        each = range(1, self.horizon + 1) if self.per_horizon else ()
        return [regression_metrics(), *(regression_metrics().clone(postfix=f"_{ahead}") for ahead in each)]

    def build_report(self) -> list[ReportMetric]:
        """Build the report of all steps ahead and, if each is asked for, of the first."""
        return [ValueReport(["all", "1 ahead"])]

    def report_inputs(self, output: Values, target: Values) -> list[tuple[tuple[Tensor, Tensor], ...]]:
        """Return the first pairs of :meth:`metric_inputs`."""
        return [tuple(self.metric_inputs(output, target)[:2])]

    def describe_rows(self, output: TaskOutput, places: Sequence[int]) -> list[RowReport]:  # noqa: ARG002
        """Describe nothing: the true values are the row itself."""
        return [RowReport({"predicted": None, "true": None}, "") for _ in places]

    def task_output(self, output: Values, batch: Batch) -> TaskOutput:
        """Combine a batch's output with the series."""
        return TaskOutput(output, batch.inputs[self.target_column])

    def plan_units(self, plan: Any) -> float:
        """Return the mean number of steps ahead in a step by the plan, with those behind the ends."""
        return float(plan.tokens_per_step * self.horizon)

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Compute the loss summed over all steps ahead that exist, and return it with their number."""
        pairs = self._pairs(output, target)
        return self.loss.total(*(torch.cat(side) for side in zip(*pairs, strict=True)))

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """Return predicted and true values, flat, of all steps ahead, and of each."""
        pairs = [
            tuple(self.standardization.restore(values).reshape(-1) for values in pair)
            for pair in self._pairs(output, target)
        ]
        every = tuple(torch.cat(side) for side in zip(*pairs, strict=True))
        return cast(list[tuple[Tensor, Tensor]], [every, *(pairs if self.per_horizon else ())])

    def decode(self, output: Values) -> Values:
        """Return values at each step ahead (N, horizon, D), in the column's own units."""
        values = unit_values(output).reshape(-1, self.horizon, int(self.target["size"]))
        return with_unit_values(output, self.standardization.restore(values))

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return lists of steps ahead, each a number, or a list of one number per channel."""
        return numbers_to_python(predicted)

    def predict_values(self, encoded: list[Encoded], *, scores: bool = False) -> dict[str, Values]:
        """Return the steps that follow each sequence's last one, (B, horizon, D)."""
        found = super().predict_values(encoded, scores=scores)
        last = packed.last(cast(PackedSequence, found[self.target_column]))
        return found | {self.target_column: last}

    def _pairs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """Return, for each number of steps ahead, predicted and true values, (P, D) each."""
        computed, series = cast(PackedSequence, output), cast(PackedSequence, target)
        ahead = computed.data.reshape(-1, self.horizon, int(self.target["size"]))  # (N, horizon, D)
        places = series._replace(data=torch.arange(len(series.data), device=series.data.device))
        pairs = []
        for steps in range(1, self.horizon + 1):
            # The tokens from that time step on, which are the last in packed data, have a token `steps` earlier.
            begin = PackedLayout.of(series).start(steps)
            before = packed.shift(places, steps, 0).data[begin:]
            pairs.append((ahead[before, steps - 1], series.data[begin:]))
        return pairs
