"""Values per token or per sequence."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import Metric, MetricCollection

from seqkit import packed
from seqkit.losses import MSE, Loss, Quantile, Values, unit_values
from seqkit.metrics import regression_metrics
from seqkit.nn.pooling import LastPool
from seqkit.tasks.base import Part, Schedule, Task


class Regressor(Task):
    """Predict one or more values for every step, or for every sequence, as the target column has them.

    The net computes standardised values (by the training targets' mean and standard deviation, which the spec
    carries), and so does the loss; metrics and predictions are in the target's own units. Where the target is per
    step, the metrics are also given at each sequence's last step, as ``rmse_last`` and ``mae_last``.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``. Its one target holds values.
        encoder: See :class:`~seqkit.tasks.base.Task`.
        embedding: See :class:`~seqkit.tasks.base.Task`.
        embeddings: See :class:`~seqkit.tasks.base.Task`.
        pooling: See :class:`~seqkit.tasks.base.Task`; used where the target is per sequence, by default the final
            states.
        loss: By default squared error. With :class:`~seqkit.losses.Quantile` the predictions are the quantiles,
            and the metrics measure the middle one.
        dropout: See :class:`~seqkit.tasks.base.Task`.
        optimizer: See :class:`~seqkit.tasks.base.Task`.
        lr_scheduler: See :class:`~seqkit.tasks.base.Task`.
        causal: See :class:`~seqkit.tasks.base.Task`.
        attention: See :class:`~seqkit.tasks.base.Task`.
        metrics: By name, further metrics of predicted and true values, (N,) each, such as
            :class:`torchmetrics.R2Score` or :class:`~seqkit.metrics.PHMScore`. Where the target is per step, one
            named ``SOMETHING_last`` is of each sequence's last step, as is ``rmse_last``.

    Raises:
        ValueError: The target holds labels; a further metric is named as one that is there; see also
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
        pooling: Part = LastPool,
        loss: Callable[[], Loss] = MSE,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
        causal: bool = False,
        attention: bool = False,
        metrics: dict[str, Callable[[], Metric]] | None = None,
    ) -> None:
        self._further = metrics or {}
        for column, target in spec["targets"].items():
            if target["kind"] != "value":
                raise ValueError(
                    f"Regressor needs values, but target {column!r} is a {target['kind']} per {target['per']}; "
                    f"use Tagger for labels per token, Classifier for labels per sequence"
                )
        super().__init__(
            spec, encoder, embedding, embeddings, pooling, loss, dropout, optimizer, lr_scheduler, causal, attention
        )
        self.monitor = ("val_loss", "min") if isinstance(self.loss, Quantile) else ("val_rmse", "min")
        statistics = self.target["init_args"]
        self.register_buffer("mean", torch.tensor(statistics["mean"], dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(statistics["std"], dtype=torch.float32), persistent=False)

    def output_size(self) -> int:
        """One output a value, or one a quantile."""
        return self.loss.output_size if isinstance(self.loss, Quantile) else int(self.target["size"])

    def build_metrics(self) -> list[MetricCollection]:
        """Root mean squared and mean absolute error and what was asked for; if per step, at last steps, too."""
        everywhere, last = regression_metrics(), regression_metrics()
        per_step = self.target["per"] == "token"
        for name, metric in self._further.items():
            of_last = per_step and name.endswith("_last")
            collection, key = (last, name.removesuffix("_last")) if of_last else (everywhere, name)
            if key in collection:
                raise ValueError(f"Regressor reports {name!r} already; give the one in `metrics` another name")
            collection.add_metrics({key: metric()})
        return [everywhere, last.clone(postfix="_last")] if per_step else [everywhere]

    def compute_loss(self, output: Values, target: Values) -> tuple[Tensor, Tensor]:
        """The loss of the standardised values, summed over units, and the number of units."""
        truth = unit_values(target).reshape(len(unit_values(target)), -1)  # (N, K)
        return self.loss.total(unit_values(output), (truth - self.mean) / self.std)

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Tensor, Tensor]]:
        """Predicted and true values, flat, of all steps, then of the last ones."""
        point = self.decode(output)
        if isinstance(self.loss, Quantile):
            point = _replace(point, unit_values(point)[:, self.loss.output_size // 2])
        pairs = [(point, target)]
        if isinstance(point, PackedSequence) and isinstance(target, PackedSequence):
            pairs.append((packed.last(point), packed.last(target)))
        return [(unit_values(values).reshape(-1), unit_values(truth).reshape(-1)) for values, truth in pairs]

    def decode(self, output: Values) -> Values:
        """Values (N, K), or quantiles (N, Q), in the target's own units."""
        return _replace(output, unit_values(output) * self.std + self.mean)

    def to_python(self, predicted: Tensor) -> list[Any]:
        """One number a unit, or a list of numbers where there are several values or quantiles."""
        return (predicted.squeeze(-1) if predicted.shape[-1] == 1 else predicted).tolist()


def _replace(values: Values, with_data: Tensor) -> Values:
    return values._replace(data=with_data) if isinstance(values, PackedSequence) else with_data
