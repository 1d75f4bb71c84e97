"""Requirements that every task meets, with hard data."""

import json
import math
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
from lightning.pytorch import Callback

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
from seqkit.data import LabelSequences
from seqkit.nn import CRF, LSTM, Embedding, Stack, Upsample
from tests import processes

ENCODER, EMBEDDING = partial(LSTM, hidden_size=6), partial(Embedding, embedding_dim=6)
LONGER = partial(Stack, layers=[ENCODER, partial(Upsample, output_size=6)])
WORDS = {"inputs": "words"}
KINDS = {
    "tagger": (partial(Tagger, encoder=ENCODER, embedding=EMBEDDING), WORDS | {"targets": "tags"}),
    "crf": (partial(Tagger, encoder=ENCODER, embedding=EMBEDDING, decoder=CRF), WORDS | {"targets": "tags"}),
    "classifier": (partial(Classifier, encoder=ENCODER, embedding=EMBEDDING), WORDS | {"targets": "label"}),
    "regressor": (partial(Regressor, encoder=ENCODER, embedding=EMBEDDING), WORDS | {"targets": "value"}),
    "each step": (partial(Regressor, encoder=ENCODER, embedding=EMBEDDING), WORDS | {"targets": "values"}),
    "forecaster": (partial(Forecaster, encoder=ENCODER, horizon=2), {"inputs": "series"}),
    "language model": (partial(LanguageModel, encoder=ENCODER, embedding=EMBEDDING), WORDS),
    "ctc": (
        partial(CTCRecognizer, encoder=LONGER, embedding=EMBEDDING),
        WORDS | {"targets": {"tags": LabelSequences()}},
    ),
    "multitask": (
        partial(MultiTask, encoder=ENCODER, embedding=EMBEDDING),
        WORDS | {"targets": ["tags", "label", "value"]},
    ),
    "pairs": (
        partial(Classifier, encoder=ENCODER, embedding=EMBEDDING),
        {"inputs": ["words", "other"], "unaligned": "other", "targets": "label"},
    ),
}
# The others are tested with several ranks elsewhere.
RANKED = ("crf", "classifier", "regressor", "each step", "forecaster", "pairs")
PER_TOKEN = ("words", "other", "tags", "series", "values")


def build(kind, splits, **options):
    task, columns = KINDS[kind]
    if "max_sequences" not in options:
        options = {"max_tokens": 64} | options
    data = SequenceDataModule(splits, **columns, **options)
    torch.manual_seed(0)
    return task(data.spec), data


def predicted(run, model, data):
    """Predictions by row."""
    return {
        row: {name: values[i] for name, values in columns.items()}
        for rows, columns in run.predict(model, data)
        for i, row in enumerate(rows)
    }


@pytest.fixture(scope="module")
def rows(splits):
    """The small data set with a second text per row."""
    made = {}
    for name, part in splits.items():
        columns = {column: part[column][:] for column in ("words", "tags", "label", "series", "values", "value")}
        made[name] = datasets.Dataset.from_dict(columns | {"other": [words[::-1] for words in columns["words"]]})
    return datasets.DatasetDict(made)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind, rows, trainer):
    class Watch(Callback):
        def on_after_backward(self, trainer, pl_module):
            self.gradients = {name: parameter.grad for name, parameter in pl_module.named_parameters()}

    watch = Watch()
    trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0, callbacks=[watch]).fit(*build(kind, rows))
    for name, gradient in watch.gradients.items():
        assert gradient is not None, name
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_rows(kind, rows):
    model, data = build(kind, rows)
    batch = data.rows("train")[[]]
    loss = model.step(batch, "train")
    assert loss == 0
    loss.backward()
    assert all((parameter.grad == 0).all() for parameter in model.parameters())
    model.step(batch, "val")
    assert model.test_step(batch, 0) == {}
    found, columns = model.predict_step(batch, 0)
    assert found == []
    assert not any(columns.values())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_became_empty_are_dropped(kind, rows, trainer):
    def emptied(row, index):
        return {name: [] if name in PER_TOKEN and index < 3 else value for name, value in row.items()}

    holed = {
        name: datasets.Dataset.from_list([emptied(row, i) for i, row in enumerate(part)], part.features)
        for name, part in rows.items()
    }
    model, data = build(kind, datasets.DatasetDict(holed), empty="drop")
    run = trainer(max_epochs=1)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    rest = rows["test"].select(range(3, 20))
    other = SequenceDataModule({"test": rest}, spec=data.spec, max_tokens=64)
    assert run.test(model, other, verbose=False)[0] == pytest.approx(scores, rel=1e-4)
    assert sorted(predicted(run, model, data)) == list(range(3, 20))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_row_without_some_classes_give_the_same_metrics(kind, rows, trainer):
    model, data = build(kind, rows, max_sequences=1)
    run = trainer(max_epochs=1, limit_train_batches=8)
    run.fit(model, data)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    (scores,) = run.test(model, data, verbose=False)
    together = SequenceDataModule(rows, spec=data.spec, max_tokens=10_000)
    (expected,) = run.test(model, together, verbose=False)
    assert scores == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_unseen_words_and_sequences_ten_times_longer(kind, rows, trainer):
    lengths = (80, 3, 95)
    test = {
        "words": [["Ωmega", "w1", "unseen", "w2"] * 24, ["new"] * 3, ["w0"] * 95],
        "tags": [["odd", "even"] * 48, ["odd"] * 3, ["even"] * 95],
        "label": ["odd", "odd", "even"],
        "series": [[[1e3, 0.0]] * 96, [[0.0, 1.0]] * 3, [[1.0, 0.0]] * 95],
        "values": [[1.0] * 96, [-1e3] * 3, [0.0] * 95],
        "value": [1e3, 0.0, -1.0],
    }
    for column in PER_TOKEN:
        if column in test:
            test[column] = [values[:n] for values, n in zip(test[column], lengths, strict=True)]
    test["other"] = test["words"][::-1]
    model, data = build(kind, rows | {"test": datasets.Dataset.from_dict(test)})
    assert max(map(len, rows["train"]["words"])) <= 8
    run = trainer(max_epochs=1)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    assert all(math.isfinite(score) for score in scores.values())
    found = predicted(run, model, data)
    assert sorted(found) == [0, 1, 2]
    if kind in ("tagger", "crf", "each step", "language model"):
        column = {"each step": "values", "language model": "nll"}.get(kind, "tags")
        assert [len(found[row][column]) for row in range(3)] == list(lengths)


_FRESH = """
import json
import sys

import datasets
from lightning.pytorch import Trainer

import seqkit

found = {}
for path, task in json.loads(sys.argv[1]).items():
    model = getattr(seqkit, task).load_from_checkpoint(path, weights_only=True)
    data = seqkit.SequenceDataModule(datasets.load_from_disk("rows"), spec=model.spec, max_tokens=64)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )
    (scores,) = trainer.test(model, data, verbose=False)
    found[path] = [scores, sorted((rows, columns) for rows, columns in trainer.predict(model, data))]
with open("found.json", "w") as file:
    json.dump(found, file)
"""


def test_a_checkpoint_alone_predicts_in_a_new_process(rows, trainer, tmp_path):
    tasks, expected = {}, {}
    for kind in KINDS:
        model, data = build(kind, rows)
        run = trainer(max_epochs=1)
        run.fit(model, data)
        path = f"{kind}.ckpt"
        run.save_checkpoint(tmp_path / path)
        tasks[path] = type(model).__name__
        (scores,) = run.test(model, data, verbose=False)
        batches = sorted((rows, columns) for rows, columns in run.predict(model, data))
        expected[path] = json.loads(json.dumps([scores, batches]))
    datasets.DatasetDict(test=rows["test"]).save_to_disk(tmp_path / "rows")  # no other data
    (tmp_path / "fresh.py").write_text(_FRESH)
    processes.run("fresh.py", json.dumps(tasks), cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    for path, (scores, batches) in expected.items():
        assert found[path][0] == pytest.approx(scores, rel=1e-5), path
        assert found[path][1] == batches, path


_RANKS = """
import json
import sys

import datasets
from lightning.pytorch import Trainer

sys.path.insert(0, sys.argv[1])
from test_every_task import RANKED, build

rows, found = datasets.load_from_disk("rows"), {}
for kind in RANKED:
    model, data = build(kind, rows)
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", precision="64-true", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )
    found[kind] = trainer.test(model, data, verbose=False)[0]
if trainer.is_global_zero:
    with open("found.json", "w") as file:
        json.dump(found, file)
"""


def test_two_ranks_give_the_metrics_of_one(rows, trainer, tmp_path, loopback):
    rows.save_to_disk(tmp_path / "rows")
    (tmp_path / "ranks.py").write_text(_RANKS)
    processes.run("ranks.py", Path(__file__).parent, ranks=2, cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    for kind in RANKED:
        model, data = build(kind, rows)
        (scores,) = trainer(precision="64-true").test(model, data, verbose=False)
        assert found[kind] == pytest.approx(scores, rel=1e-6), kind
