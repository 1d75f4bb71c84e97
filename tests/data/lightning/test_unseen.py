"""Labels that training lacks: found, reported or refused when a stage starts."""

import warnings

import datasets
import pytest

from seqkit import Classifier, SequenceDataModule, Tagger
from seqkit.data import Labels
from tests.tasks.unseen_cases import PARTS, SPLITS, TAGS, UNSEEN_TAGS, WARNING, build, evaluate


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


def test_loaders_whose_ids_mean_different_labels_are_refused(trainer):
    class Several(SequenceDataModule):
        def val_dataloader(self):
            return [super().val_dataloader(), self.test_dataloader()]

    class Own(Tagger):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            super().validation_step(batch, batch_idx)

    data = Several(SPLITS, "words", "tags", max_tokens=40)
    model = Own(data.spec, **PARTS)
    with (
        pytest.warns(UserWarning, match=WARNING),
        pytest.raises(ValueError, match="the loaders have different labels that the training split lacks"),
    ):
        trainer().validate(model, data)


def test_splits_without_targets_are_not_checked(trainer):
    splits = {
        "train": SPLITS["train"],
        "validation": SPLITS["train"],
        "test": SPLITS["test"].select_columns("words"),
        "broken": datasets.Dataset.from_dict({"words": [["w"]], "tags": [[0.5]]}),
    }
    data = SequenceDataModule(splits, "words", "tags", max_tokens=40, unseen_labels="error")
    run, model = trainer(max_epochs=1), Tagger(data.spec, **PARTS)
    run.fit(model, data)
    assert len(run.predict(model, data)) > 0
