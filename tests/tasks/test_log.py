"""Values that a subclass logs: their mean over an epoch weighs each unit the same."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from seqkit import Classifier, CTCRecognizer, LanguageModel, MultiTask, SequenceDataModule, Tagger
from seqkit.data import Continuous, LabelSequences
from seqkit.nn import LSTM, Embedding

PARTS = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
STAGES = {"training_step": "train", "validation_step": "val", "test_step": "test"}


def logging(task, log):
    """A subclass of a task that logs in each step."""

    def logged(name, stage):
        def step(self, batch, batch_idx):
            log(self, stage, batch)
            return getattr(task, name)(self, batch, batch_idx)

        return step

    return type(f"Logging{task.__name__}", (task,), {name: logged(name, stage) for name, stage in STAGES.items()})


class Batches(Callback):
    """Keeps the batches of each stage."""

    def __init__(self):
        self.batches = {stage: [] for stage in STAGES.values()}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches["train"].append(batch)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches["val"].append(batch)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches["test"].append(batch)


def fit_and_test(task, columns, splits, trainer, log):
    """The values logged in an epoch, by name, and the batches that the steps got."""
    data = SequenceDataModule(splits, **columns)
    torch.manual_seed(0)
    kept = Batches()
    run = trainer(max_epochs=1, callbacks=[kept], num_sanity_val_steps=0)
    run.fit(logging(task, log)(data.spec, **PARTS), data)
    logged = dict(run.callback_metrics)
    logged |= run.test(run.lightning_module, data, verbose=False)[0]
    return logged, kept.batches


WORDS = {"inputs": "words", "max_tokens": 32}


@pytest.mark.parametrize(
    ("task", "columns", "units"),
    [
        (Tagger, {"targets": "tags"}, lambda batch: len(batch.inputs["words"].data)),
        (Classifier, {"targets": "label"}, lambda batch: len(batch.rows)),
        (CTCRecognizer, {"targets": {"label": LabelSequences()}}, lambda batch: len(batch.rows)),
        (LanguageModel, {}, lambda batch: len(batch.inputs["words"].data) + len(batch.rows)),
        (MultiTask, {"targets": ["tags", "label"]}, lambda batch: len(batch.inputs["words"].data)),
    ],
    ids=lambda value: getattr(value, "__name__", "") if isinstance(value, type) else "",
)
def test_the_mean_of_an_epoch_weighs_each_unit_the_same(task, columns, units, splits, trainer):
    # Warnings are errors in tests, so Lightning's about an ambiguous batch size would fail here.
    logged, batches = fit_and_test(
        task,
        WORDS | columns,
        splits,
        trainer,
        lambda self, stage, batch: self.log(f"{stage}_rows", float(len(batch.rows)), on_step=False, on_epoch=True),
    )
    for stage, of_stage in batches.items():
        assert len({units(batch) for batch in of_stage}) > 1
        total = sum(units(batch) * len(batch.rows) for batch in of_stage)
        assert float(logged[f"{stage}_rows"]) == pytest.approx(total / sum(map(units, of_stage)))


def test_log_dict_and_positional_options(splits, trainer):
    def log(self, stage, batch):
        rows = float(len(batch.rows))
        self.log_dict({f"{stage}_rows": rows, f"{stage}_square": rows**2}, on_step=False, on_epoch=True)
        self.log(f"{stage}_positional", rows, False, None, False, True)

    logged, batches = fit_and_test(Tagger, WORDS | {"targets": "tags"}, splits, trainer, log)
    for stage, of_stage in batches.items():
        weights = torch.tensor([float(len(batch.inputs["words"].data)) for batch in of_stage])
        rows = torch.tensor([float(len(batch.rows)) for batch in of_stage])
        for name, values in (("rows", rows), ("square", rows**2), ("positional", rows)):
            expected = float((values * weights).sum() / weights.sum())
            assert float(logged[f"{stage}_{name}"]) == pytest.approx(expected)


def test_a_given_batch_size_and_another_reduction_are_kept(splits, trainer):
    def log(self, stage, batch):
        rows = float(len(batch.rows))
        self.log(f"{stage}_each", rows, on_step=False, on_epoch=True, batch_size=1)
        self.log(f"{stage}_most", rows, on_step=False, on_epoch=True, reduce_fx="max")

    logged, batches = fit_and_test(Tagger, WORDS | {"targets": "tags"}, splits, trainer, log)
    for stage, of_stage in batches.items():
        rows = [len(batch.rows) for batch in of_stage]
        assert float(logged[f"{stage}_each"]) == pytest.approx(sum(rows) / len(rows))
        assert float(logged[f"{stage}_most"]) == max(rows)


def test_continuous_text_counts_its_tokens(splits, trainer):
    logged, batches = fit_and_test(
        LanguageModel,
        {"inputs": "words", "continuous": Continuous(batch_size=3, bptt=7)},
        splits,
        trainer,
        lambda self, stage, batch: self.log(
            f"{stage}_steps", float(len(batch.inputs["words"].batch_sizes)), on_step=False, on_epoch=True
        ),
    )
    for stage, of_stage in batches.items():
        units = [len(batch.inputs["words"].data) for batch in of_stage]
        steps = [len(batch.inputs["words"].batch_sizes) for batch in of_stage]
        expected = sum(one * other for one, other in zip(units, steps, strict=True)) / sum(units)
        assert float(logged[f"{stage}_steps"]) == pytest.approx(expected)


def test_log_at_the_end_of_an_epoch_and_without_a_trainer(splits, trainer):
    class AtTheEnd(Tagger):
        def on_train_epoch_end(self):
            self.log("at_end", 3.0)

    data = SequenceDataModule(splits, **WORDS, targets="tags")
    model = AtTheEnd(data.spec, **PARTS)
    with pytest.warns(UserWarning, match="`self.trainer` reference is not registered"):
        model.log("nothing", 1.0)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert float(run.callback_metrics["at_end"]) == 3.0
