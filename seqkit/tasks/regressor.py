"""Values per token or per sequence."""

from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import Metric, MetricCollection

from seqkit import packed
from seqkit.losses import MSE, Loss, Quantile, Values, unit_values, with_unit_values
from seqkit.metrics import ReportMetric, ValueReport, regression_metrics
from seqkit.nn import LastPool
from seqkit.tasks.inputs import TaskOptions
from seqkit.tasks.module import Part
from seqkit.tasks.outputs import numbers_to_python
from seqkit.tasks.targets import Standardization
from seqkit.tasks.task import Task


class Regressor(Task):
    """Predict one or more values for every step, or for every sequence, as the target column has them.

    The model computes standardised values (by the training targets' mean and standard deviation, which are in the
    spec), and so does the loss; metrics and predictions are in the target's own units. For a target per step, the
    metrics are also computed at each sequence's last step, as ``rmse_last`` and ``mae_last``.

    A target of vectors (``seqkit.data.Values(vectors=True)``) has K values per step or per sequence; the metrics
    are over all K.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``. Its one target holds values.
        pooling: For a target per sequence: the pooling, without its ``input_size``; by default the final states.
        loss: By default squared error. With :class:`~seqkit.losses.Quantile` the predictions are the quantiles,
            and the metrics compare the middle one.
        attention: Whether predictions contain, as ``INPUT_attention``, the weight that pooling gives each token.
        causal: Whether the output at a step may depend on nothing later; refuses an encoder that is bidirectional
            or changes the steps.
        metrics: By name, further metrics of predicted and true values, (N,) each, such as
            :class:`torchmetrics.R2Score` or :class:`~seqkit.metrics.PHMScore`. For a target per step, one named
            ``SOMETHING_last`` is computed at each sequence's last step, like ``rmse_last``.
        options: The encoder and the optimiser; see :class:`~seqkit.Task`.

    Raises:
        ValueError: The target holds labels, or vectors with quantiles; float32 rounds its values too much; a
            further metric has the name of an existing one; see also :class:`~seqkit.Task`.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        pooling: Part = LastPool,
        loss: Callable[[], Loss] = MSE,
        attention: bool = False,
        causal: bool = False,
        metrics: dict[str, Callable[[], Metric]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        self._further = metrics or {}
        for column, target in spec["targets"].items():
            if target["kind"] != "value":
                raise ValueError(
                    f"Regressor needs values, but target {column!r} is a {target['kind']} per {target['per']}; "
                    f"use Tagger for labels per token, Classifier for labels per sequence"
                )
        super().__init__(spec, loss=loss, pooling=pooling, attention=attention, causal=causal, **options)
        self.monitor = ("val_loss", "min") if isinstance(self.loss, Quantile) else ("val_rmse", "min")
        if isinstance(self.loss, Quantile) and self.target["size"] > 1:
            raise ValueError(
                f"Quantile is for one value, but target {self.target_column!r} has vectors of "
                f"{self.target['size']}; use MSE, L1 or Huber, or a target for each value"
            )
        self.standardization = Standardization(self.target)
        self.standardization.check_resolution(self.target_column, torch.float32)

    def output_size(self) -> int:
        """Return one output per value, or one per quantile."""
        return self.loss.output_size if isinstance(self.loss, Quantile) else int(self.target["size"])

    def build_metrics(self) -> list[MetricCollection]:
        """Build root mean squared error, mean absolute error and further metrics; per step, also of last steps."""
        everywhere, last = regression_metrics(), regression_metrics()
        per_step = self.target["per"] == "token"
        for name, metric in self._further.items():
            of_last = per_step and name.endswith("_last")
            collection, key = (last, name.removesuffix("_last")) if of_last else (everywhere, name)
            if key in collection:
                raise ValueError(f"Regressor reports {name!r} already; give the one in `metrics` another name")
            collection.add_metrics({key: metric()})
        return [everywhere, last.clone(postfix="_last")] if per_step else [everywhere]

    def build_report(self) -> list[ReportMetric]:
        """Build the report of all values and, if per step, of the last ones."""
        return [ValueReport(["all", "last steps"] if self.target["per"] == "token" else ["all"])]

    def report_inputs(self, output: Values, target: Values) -> list[tuple[tuple[Tensor, Tensor], ...]]:
        """Return the pairs of :meth:`metric_inputs`."""
        return [tuple(self.metric_inputs(output, target))]

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """Compute the loss of standardised values, summed over units, and return it with the number of units."""
        truth = unit_values(target).reshape(len(unit_values(target)), -1)  # (N, K)
        self.standardization.check_resolution(self.target_column, truth.dtype)
        return self.loss.total(unit_values(output), self.standardization(truth))

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """Return predicted and true values, flat, of all steps and then of the last ones."""
        point = self.decode(output)
        if isinstance(self.loss, Quantile):
            point = with_unit_values(point, unit_values(point)[:, self.loss.output_size // 2])
        pairs = [(point, target)]
        if isinstance(point, PackedSequence) and isinstance(target, PackedSequence):
            pairs.append((packed.last(point), packed.last(target)))
        return [(unit_values(values).reshape(-1), unit_values(truth).reshape(-1)) for values, truth in pairs]

    def decode(self, output: Values) -> Values:
        """Return values (N, K), or quantiles (N, Q), in the target's own units."""
        return with_unit_values(output, self.standardization.restore(unit_values(output)))

    def to_python(self, predicted: Tensor) -> list[Any]:
        """Return one number per unit, or a list of numbers if there are several values or quantiles."""
        return numbers_to_python(predicted)
