"""Labels that training lacks count as errors: the metrics equal plain ones on the labels' names."""

import json
import random
import warnings
from functools import partial

import datasets
import pytest
import torch
from torch.nn import functional as F

from seqkit import Classifier, MultiTask, SequenceDataModule, Tagger, packed
from seqkit.callbacks import Report
from seqkit.data import Labels, MultiLabels
from seqkit.data.encoders import input_encoder
from seqkit.losses import CrossEntropy
from seqkit.nn import CRF, LSTM, Embedding
from tests.metrics.test_span_f1 import spans_as_conlleval

PARTS = {"embedding": partial(Embedding, embedding_dim=8), "encoder": partial(LSTM, hidden_size=8)}
TAGS = ["O", "B-person", "I-person", "B-place"]
UNSEEN_TAGS = ["I-place", "B-new", "I-new", "strange"]
WARNING = "the training split has no label"
IGNORED = "ignore:.*the training split has no label"


def draw_rows(seed, tags, classes, flags, count=24):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 9) for _ in range(count)]
    return {
        "words": [[f"w{draw.randint(0, 9)}" for _ in range(n)] for n in lengths],
        "tags": [[draw.choice([*tags, None]) for _ in range(n)] for n in lengths],
        "label": [draw.choice([*classes, None]) for _ in lengths],
        "flags": [[draw.sample(flags, draw.randint(0, len(flags))) for _ in range(n)] for n in lengths],
        "topics": [draw.sample(flags, draw.randint(0, len(flags))) for _ in lengths],
    }


SEEN = draw_rows(0, TAGS, ["a", "b", "c"], ["x", "y"])
SPLITS = {
    "train": datasets.Dataset.from_dict(SEEN),
    "validation": datasets.Dataset.from_dict(draw_rows(1, TAGS + UNSEEN_TAGS[:1], ["a", "z"], ["x", "y", "q"])),
    "test": datasets.Dataset.from_dict(
        draw_rows(2, TAGS + UNSEEN_TAGS, ["a", "b", "y", "z"], ["x", "y", "u", "v"])
    ),
}


def build(task, target, splits=SPLITS, encoder=None, **options):
    targets = target if encoder is None else {target: encoder}
    data = SequenceDataModule(splits, inputs="words", targets=targets, max_tokens=40)
    torch.manual_seed(0)
    model = task(data.spec, **PARTS, **options)
    with torch.no_grad():
        for head in model.heads.values():
            head.head.weight *= 30  # so that all labels are predicted
    return model, data


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


def evaluate(run, model, data):
    with pytest.warns(UserWarning, match=WARNING):
        (scores,) = run.test(model, data, verbose=False)
    return {name.removeprefix("test_"): value for name, value in scores.items()}


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


def test_a_fit_reports_all_splits_once_before_it_begins(trainer, recwarn):
    warnings.simplefilter("default")
    model, data = build(Tagger, "tags")
    run = trainer(max_epochs=2)
    run.fit(model, data)
    assert "val_accuracy" in run.callback_metrics
    found = [str(warning.message) for warning in recwarn if "has no label" in str(warning.message)]
    rows = {
        split: next(i for i, tags in enumerate(SPLITS[split]["tags"][:]) if set(tags) & set(UNSEEN_TAGS))
        for split in ("validation", "test")
    }
    count = sum(tags.count("I-place") for tags in SPLITS["validation"]["tags"][:])
    assert found[0] == (
        f"validation row {rows['validation']} (column 'tags'): the training split has no label 'I-place' "
        f"(count {count}); the model cannot predict it, so each one counts as an error, and the loss leaves it "
        f"out; to make it a class, name all labels: Labels(names=[...])"
    )
    assert found[1].startswith(f"test row {rows['test']} (column 'tags')")
    run.test(model, data, verbose=False)
    assert len([warning for warning in recwarn if "has no label" in str(warning.message)]) == 2
    first = next(iter(model.metrics["train_scores"][0].values()))
    assert first.num_classes == len(TAGS)


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_error_refuses_before_the_first_step(trainer, stage):
    splits = {"train": SPLITS["train"], "validation": SPLITS["train"], "test": SPLITS["test"]}
    data = SequenceDataModule(splits, "words", "tags", max_tokens=40, unseen_labels="error")
    model = Tagger(data.spec, **PARTS)
    row = next(i for i, tags in enumerate(SPLITS["test"]["tags"][:]) if set(tags) & set(UNSEEN_TAGS))
    message = rf"test row {row} \(column 'tags'\): the training split has no label 'I.* Labels\(names=\[...\]\)"
    with pytest.raises(ValueError, match=message):
        getattr(trainer(max_epochs=1), stage)(model, data)


def test_names_that_are_given_are_classes(trainer):
    data = SequenceDataModule(
        SPLITS, "words", {"tags": Labels(names=TAGS + UNSEEN_TAGS)}, max_tokens=40, unseen_labels="error"
    )
    trainer(max_epochs=1).fit(Tagger(data.spec, **PARTS, scheme="none"), data)


def test_a_training_row_is_never_counted(trainer):
    data = SequenceDataModule(SPLITS, "words", {"tags": Labels(names=["O", "B-x"])}, max_tokens=40)
    with (
        pytest.raises(ValueError, match=r"train row 0 \(column 'tags'\): label '.*' at position . is not one of"),
        pytest.warns(UserWarning, match=WARNING),
    ):
        trainer(max_epochs=1).fit(Tagger(data.spec, **PARTS), data)


def test_held_out_rows(trainer):
    rows = datasets.Dataset.from_dict(
        {"words": [["w"], ["w"] * 2] * 20, "tags": [["a"], ["b", "a"]] * 19 + [["a"], ["rare", "b"]]}
    )
    seed = next(
        seed for seed in range(100) if "rare" in str(rows.train_test_split(0.1, seed=seed)["test"]["tags"][:])
    )
    data = SequenceDataModule(rows, "words", "tags", max_tokens=40, seed=seed)
    model = Tagger(data.spec, **PARTS)
    place = r"train row 39, held out for validation \(column 'tags'\)"
    with pytest.warns(UserWarning, match=rf"{place}: the training split has no label 'rare' \(count 1\)"):
        (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_accuracy"] < 1


def test_names_of_class_labels_are_known(trainer):
    feature = datasets.Features(
        {"words": datasets.List(datasets.Value("string")), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    splits = {
        "train": datasets.Dataset.from_dict({"words": [["w"], ["w"] * 2] * 2, "label": [0] * 4}, feature),
        "test": datasets.Dataset.from_dict({"words": [["w"], ["w"] * 2] * 2, "label": [1] * 4}, feature),
    }
    data = SequenceDataModule(splits, "words", "label", max_tokens=40, unseen_labels="error", validation_fraction=0)
    trainer().test(Classifier(data.spec, **PARTS), data, verbose=False)


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


def test_labels_of_a_stream_are_counted_as_they_come(trainer):
    streams = {split: rows.to_iterable_dataset() for split, rows in SPLITS.items()}
    model, data = build(Tagger, "tags", streams)
    run = trainer()
    message = r"test row \d+ of the stream \(column 'tags'\): the training split has no label '.*; such labels"
    with pytest.warns(UserWarning, match=message):
        (scores,) = run.test(model, data, verbose=False)
    whole, rows = build(Tagger, "tags")
    expected = evaluate(trainer(), whole, rows)
    for name in ("accuracy", "loss", "span_precision", "span_recall"):
        assert scores[f"test_{name}"] == pytest.approx(expected[name])
    data = SequenceDataModule(streams, "words", "tags", max_tokens=40, unseen_labels="error")
    with pytest.raises(ValueError, match=r"test row \d+ of the stream \(column 'tags'\): label '.*' at position"):
        trainer().test(model, data, verbose=False)


def test_without_a_model_that_counts_them_they_are_an_error(trainer):
    class Own(Tagger):
        counts_unseen_labels = False

    data = SequenceDataModule(SPLITS, "words", "tags", max_tokens=40)
    with pytest.raises(ValueError, match=r"test row .* is not one of the known labels.*Labels\(names=\[...\]\)"):
        data.rows("test")
    model = Own(data.spec, **PARTS)
    with pytest.warns(UserWarning, match="does not count such labels, so reading the split will be an error"):
        trainer(max_epochs=1, limit_val_batches=0).fit(model, data)
    with pytest.raises(ValueError, match="is not one of the known labels"):
        trainer().test(model, data, verbose=False)
