"""Losses and scores in every precision of Lightning."""

import logging
import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import (
    Classifier,
    CTCRecognizer,
    Forecaster,
    LanguageModel,
    MultiTask,
    Regressor,
    SequenceDataModule,
    Tagger,
)
from seqkit.data import Continuous, LabelSequences, MultiLabels
from seqkit.losses import CrossEntropy, Quantile, with_unit_values
from seqkit.metrics import MeanLoss
from seqkit.nn import CRF, GRU, LSTM, AdaptiveSoftmax, AttentionPool, Embedding, Stack, Upsample
from seqkit.tasks import TaskOutput

PARTS = {"encoder": partial(LSTM, hidden_size=6), "embedding": partial(Embedding, embedding_dim=6)}
LONGER = partial(Stack, layers=[PARTS["encoder"], partial(Upsample, output_size=6)])
ADAPTIVE = partial(AdaptiveSoftmax, cutoffs=[5], div_value=2.0)
LABELS = {"labels": MultiLabels(["high", "odd"])}
KINDS = {
    "tagger": (
        partial(Tagger, loss=partial(CrossEntropy, weight=[0.1, 0.3], label_smoothing=0.1), **PARTS),
        {"targets": "tags"},
    ),
    "two directions": (
        partial(Tagger, **PARTS | {"encoder": partial(GRU, hidden_size=6, num_layers=2, bidirectional=True)}),
        {"targets": "tags"},
    ),
    "crf": (partial(Tagger, decoder=CRF, **PARTS), {"targets": "tags"}),
    "labels per token": (partial(Tagger, **PARTS), {"targets": "flags"}),
    "classifier": (partial(Classifier, pooling=AttentionPool, attention=True, **PARTS), {"targets": "label"}),
    "labels": (partial(Classifier, **PARTS), {"targets": LABELS}),
    "regressor": (partial(Regressor, **PARTS), {"targets": "value"}),
    "quantiles": (partial(Regressor, loss=Quantile, **PARTS), {"targets": "values"}),
    "forecaster": (partial(Forecaster, encoder=PARTS["encoder"], horizon=2), {"inputs": "series"}),
    "language model": (partial(LanguageModel, tied=True, bidirectional=True, **PARTS), {}),
    "adaptive softmax": (partial(LanguageModel, softmax=ADAPTIVE, **PARTS), {}),
    "continuous": (partial(LanguageModel, **PARTS), {"continuous": Continuous(batch_size=3, bptt=5)}),
    "ctc": (partial(CTCRecognizer, **PARTS | {"encoder": LONGER}), {"targets": {"tags": LabelSequences()}}),
    "several targets": (partial(MultiTask, **PARTS), {"targets": ["tags", "label", "value"]}),
}
# Lightning replaces 16-mixed on a CPU, so the plugin is given.
PRECISIONS = {
    "64-true": (torch.float64, {"precision": "64-true"}),
    "bf16-true": (torch.bfloat16, {"precision": "bf16-true"}),
    "bf16-mixed": (torch.bfloat16, {"precision": "bf16-mixed"}),
    "16-mixed": (torch.float16, {"plugins": [MixedPrecision("16-mixed", "cpu")]}),
}


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, "lightning.pytorch")


@pytest.fixture(scope="module")
def exact_outputs():
    """The outputs of each kind in float32, which its tests in all precisions share."""
    return {}


class Outputs(Callback):
    """Keeps the outputs of a test, in float64."""

    def __init__(self):
        self.batches = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches.append({column: TaskOutput(*map(double, output)) for column, output in outputs.items()})


def double(values):
    data = values.data if isinstance(values, PackedSequence) else values
    return with_unit_values(values, data.double() if data.is_floating_point() else data)


def build(kind, splits):
    task, columns = KINDS[kind]
    options = {} if "continuous" in columns else {"max_tokens": 64}
    data = SequenceDataModule(splits, **({"inputs": "words"} | columns | options))
    torch.manual_seed(0)
    return task(data.spec), data


def run_test(kind, splits, trainer, **options):
    """The model, the scores and the outputs."""
    model, data = build(kind, splits)
    outputs = Outputs()
    (scores,) = trainer(callbacks=[outputs], **options).test(model, data, verbose=False)
    return model, scores, outputs.batches


@torch.no_grad()
def scores_of(model, batches):
    """The losses and the metrics that outputs have, computed in float64."""
    expected = {}
    for column, head in model.heads.items():
        loss, collections = MeanLoss(), [c.clone(prefix="test_") for c in head.build_metrics()]
        for batch in batches:
            output, target = batch[column]
            if isinstance(head, LanguageModel):  # whose output is the loss of each token
                nll = double(output).data if isinstance(output, PackedSequence) else output
                loss.update(nll.sum(), torch.tensor(len(nll)))
            else:
                loss.update(*head.compute_loss(output, target))
            for collection, pair in zip(collections, head.metric_inputs(output, target), strict=True):
                collection.update(*pair)
        values = {"test_loss": loss.compute()}
        for collection in collections:
            values |= MetricCollection.compute(collection)
        if head is not model:
            values = {name.replace("test_", f"test_{column}_", 1): value for name, value in values.items()}
        expected |= {name: float(value) for name, value in values.items()}
    return expected


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_scores_equal_those_of_float32(kind, precision, splits, trainer, exact_outputs):
    """Outputs differ from float32's by their rounding, and scores are exactly those of the outputs.

    On the longest path to an output there are about 40 roundings: of the embedding and the head, and 4 in each of 8
    steps. Each changes a value, at most 1 or the largest output, by up to half a unit in the last place, with a
    standard deviation of this over the root of 3. Four standard deviations of their sum are 4 * sqrt(40 / 3) = 15
    such halves; a negative log-likelihood is the difference of two outputs.
    """
    dtype, options = PRECISIONS[precision]
    model, scores, batches = run_test(kind, splits, trainer, **options)
    if kind not in exact_outputs:
        exact_outputs[kind] = run_test(kind, splits, trainer)[2]
    half_unit = torch.finfo(dtype if precision != "64-true" else torch.float32).eps / 2
    for own, other in zip(batches, exact_outputs[kind], strict=True):
        for column in own:
            (output, target), (expected, true) = own[column], other[column]
            bound = 2 * 15 * half_unit * max(1.0, float(expected.data.abs().max()))
            torch.testing.assert_close(output.data, expected.data, rtol=0, atol=bound)
            torch.testing.assert_close(target.data, true.data, rtol=half_unit, atol=0)
    reference, _ = build(kind, splits)
    reference.load_state_dict(model.state_dict())
    expected = scores_of(reference.double(), batches)
    # Sums of 100 values in float32.
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=100 * 2**-24, abs=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_finite_and_falls(kind, precision, splits, trainer):
    class Losses(Callback):
        def __init__(self):
            self.values = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.values.append(float(outputs["loss"]))

    model, data = build(kind, splits)
    model._optimizer = partial(torch.optim.Adam, lr=0.03)
    losses = Losses()
    _, options = PRECISIONS[precision]
    run = trainer(max_epochs=4, limit_val_batches=0, callbacks=[losses], gradient_clip_val=1.0, **options)
    run.fit(model, data)
    count = len(losses.values) // 4
    first, last = (sum(part) / count for part in (losses.values[:count], losses.values[-count:]))
    assert all(map(math.isfinite, losses.values))
    assert last < first
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    for _, columns in run.predict(model, data):
        assert columns
