"""Labels that training lacks count as errors: the metrics equal plain ones on the labels' names."""

import json
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from seqkit import Classifier, MultiTask, SequenceDataModule, Tagger, packed
from seqkit.callbacks import Report
from seqkit.data import MultiLabels
from seqkit.data.encoders import input_encoder
from seqkit.losses import CrossEntropy
from seqkit.nn import CRF
from tests.metrics.test_span_f1 import spans_as_conlleval
from tests.tasks.unseen_cases import IGNORED, SPLITS, TAGS, UNSEEN_TAGS, build, evaluate


def predictions(run, model, data, column):
    rows = {
        row: value
        for rows, columns in run.predict(model, data)
        for row, value in zip(rows, columns[column], strict=True)
    }
    return [rows[i] for i in range(len(rows))]


def pairs_of_tokens(predicted, true):
    pairs = [pair for rows in zip(predicted, true, strict=True) for pair in zip(*rows, strict=True)]
    return [(found, label) for found, label in pairs if label is not None]


def f1(pairs, name):
    right = sum(found == label == name for found, label in pairs)
    return 2 * right / max(sum((found == name) + (label == name) for found, label in pairs), 1)


def class_scores(pairs):
    """Accuracy, and the mean F1 of the labels that occur."""
    names = {name for pair in pairs for name in pair}
    return {
        "accuracy": sum(found == label for found, label in pairs) / len(pairs),
        "f1": sum(f1(pairs, name) for name in names) / len(names),
    }


def set_scores(predicted, true):
    """Exact match and F1 of sets of labels; the macro F1 is over the labels of training and of the split."""
    units = list(zip(predicted, true, strict=True))
    pairs = [
        (name if name in found else None, name if name in labels else None)
        for found, labels in units
        for name in {*found, *labels}
    ]
    names = {"x", "y"}.union(*true)
    right = sum(found == label for found, label in pairs)
    return {
        "exact_match": sum(set(found) == set(labels) for found, labels in units) / len(units),
        "micro_f1": 2 * right / sum((found is not None) + (label is not None) for found, label in pairs),
        "f1": sum(f1(pairs, name) for name in names) / len(names),
    }


@pytest.mark.parametrize("decoder", [None, CRF])
def test_tags_and_spans_score_as_by_their_names(trainer, decoder):
    model, data = build(Tagger, "tags", decoder=decoder, per_class=True, constrained=False)
    run = trainer()
    scores = evaluate(run, model, data)
    true, found = SPLITS["test"]["tags"][:], predictions(run, model, data, "tags")
    pairs = pairs_of_tokens(found, true)
    expected = class_scores(pairs)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    for name in TAGS + UNSEEN_TAGS:
        assert scores[f"f1_{name}"] == pytest.approx(f1(pairs, name))

    sides = [set(), set()]
    for row, (predicted, gold) in enumerate(zip(found, true, strict=True)):
        kept = [pair for pair in zip(predicted, gold, strict=True) if pair[1] is not None]
        for side, spans in enumerate(sides):
            tags = [pair[side].replace("strange", "O") for pair in kept]
            spans.update((row, *span) for span in spans_as_conlleval(tags))
    assert any(kind == "new" for *_, kind in sides[1])
    right = len(sides[0] & sides[1])
    assert scores["span_precision"] == pytest.approx(right / len(sides[0]))
    assert scores["span_recall"] == pytest.approx(right / len(sides[1]))
    kinds = {kind for side in sides for *_, kind in side}
    by_kind = {
        kind: 2 * sum(s[-1] == kind for s in sides[0] & sides[1]) / sum(s[-1] == kind for x in sides for s in x)
        for kind in kinds
    }
    assert scores["span_f1_macro"] == pytest.approx(sum(by_kind.values()) / len(kinds))
    assert scores["span_f1_new"] == 0


def test_a_class_of_a_sequence(trainer):
    model, data = build(Classifier, "label")
    run = trainer()
    scores = evaluate(run, model, data)
    found = predictions(run, model, data, "label")
    pairs = [(name, label) for name, label in zip(found, SPLITS["test"]["label"][:], strict=True) if label]
    assert {name: scores[name] for name in ("accuracy", "f1")} == pytest.approx(class_scores(pairs))


def test_sets_of_labels_of_tokens(trainer):
    model, data = build(Tagger, "flags")
    run = trainer()
    scores = evaluate(run, model, data)
    found, true = predictions(run, model, data, "flags"), SPLITS["test"]["flags"][:]
    expected = set_scores([unit for row in found for unit in row], [unit for row in true for unit in row])
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_sets_of_labels_of_sequences(trainer):
    model, data = build(Classifier, "topics", encoder=MultiLabels())
    run = trainer()
    scores = evaluate(run, model, data)
    expected = set_scores(predictions(run, model, data, "topics"), SPLITS["test"]["topics"][:])
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize(("task", "target"), [(Tagger, "flags"), (Classifier, "topics")])
def test_sets_in_training_after_a_validation_are_those_of_training(trainer, task, target):
    values = []
    for validation in (SPLITS["validation"], SPLITS["train"]):
        splits = {"train": SPLITS["train"], "validation": validation}
        model, data = build(task, target, splits, encoder=MultiLabels())
        run = trainer(max_epochs=1, log_every_n_steps=1)  # a sanity check comes first
        run.fit(model, data)
        values.append({name: float(run.callback_metrics[name]) for name in ("train_loss", "train_micro_f1")})
    assert values[0] == values[1]


def test_every_head_of_several_tasks(trainer):
    model, data = build(MultiTask, ["tags", "label"])
    run = trainer()
    scores = evaluate(run, model, data)
    found = {column: predictions(run, model, data, column) for column in ("tags", "label")}
    tokens = pairs_of_tokens(found["tags"], SPLITS["test"]["tags"][:])
    rows = [pair for pair in zip(found["label"], SPLITS["test"]["label"][:], strict=True) if pair[1]]
    for column, pairs in (("tags", tokens), ("label", rows)):
        for name, value in class_scores(pairs).items():
            assert scores[f"{column}_{name}"] == pytest.approx(value)


def losses_by_token(model, data, split):
    """Yield each row's scores and the names of its labels, computed alone."""
    words = input_encoder(data.spec, "words")
    for row, tags in zip(SPLITS[split]["words"][:], SPLITS[split]["tags"][:], strict=True):
        ids = packed.pack([torch.tensor(words.encode([row])[0])])
        yield model.eval()({"words": ids}).data, tags


@torch.no_grad()
def test_the_loss_leaves_the_tokens_out(trainer):
    model, data = build(Tagger, "tags")
    scores = evaluate(trainer(), model, data)
    names, losses = data.spec["targets"]["tags"]["names"], []
    for logits, tags in losses_by_token(model, data, "test"):
        known = [i for i, tag in enumerate(tags) if tag in names]
        losses += F.cross_entropy(
            logits[known], torch.tensor([names.index(tags[i]) for i in known]).long(), reduction="none"
        ).tolist()
    assert scores["loss"] == pytest.approx(sum(losses) / len(losses))


@torch.no_grad()
def test_the_loss_of_a_decoder_leaves_the_sequences_out(trainer):
    model, data = build(Tagger, "tags", decoder=CRF, constrained=False)
    scores = evaluate(trainer(), model, data)
    names, total, tokens = data.spec["targets"]["tags"]["names"], 0.0, 0
    for logits, tags in losses_by_token(model, data, "test"):
        if all(tag is None or tag in names for tag in tags):
            ids = torch.tensor([-100 if tag is None else names.index(tag) for tag in tags])
            total -= model.decoder(packed.pack([logits]), packed.pack([ids])).item()
            tokens += int((ids >= 0).sum())
    assert tokens > 0
    assert scores["loss"] == pytest.approx(total / tokens)


def test_another_ignored_index_still_does_not_count(trainer):
    model, data = build(Tagger, "tags", loss=partial(CrossEntropy, ignore_index=1), scheme="none")
    filled = {
        split: rows.map(lambda row: {"tags": [tag or "O" for tag in row["tags"]]}) for split, rows in SPLITS.items()
    }
    data = SequenceDataModule(filled, spec=data.spec, max_tokens=40)
    assert data.spec["targets"]["tags"]["names"][1] == "B-place"
    run = trainer()
    scores = evaluate(run, model, data)
    pairs = pairs_of_tokens(predictions(run, model, data, "tags"), filled["test"]["tags"][:])
    kept = [pair for pair in pairs if pair[1] != "B-place"]
    assert scores["accuracy"] == pytest.approx(class_scores(kept)["accuracy"])


@pytest.mark.filterwarnings(IGNORED)
def test_the_report_has_a_row_for_each(trainer, tmp_path, capsys):
    model, data = build(Tagger, "tags")
    run = trainer(callbacks=[Report(folder=str(tmp_path))])
    run.test(model, data, verbose=False)
    report = json.loads((tmp_path / "test_tags.json").read_text())
    true = [tag for tags in SPLITS["test"]["tags"][:] for tag in tags]
    for name in UNSEEN_TAGS:
        scores = report["by_class"][name]
        assert scores == {"precision": 0, "recall": 0, "f1": 0, "support": true.count(name)}
    names = data.spec["targets"]["tags"]["names"] + sorted(UNSEEN_TAGS)
    assert [sum(row) for row in report["confusion"]] == [true.count(name) for name in names]
    assert "new" in report["by_span_type"]
    assert "strange" in capsys.readouterr().out
    worst = [json.loads(line) for line in (tmp_path / "test_tags_worst.jsonl").read_text().splitlines()]
    assert all(line["true"] == SPLITS["test"]["tags"][line["row"]] for line in worst)
