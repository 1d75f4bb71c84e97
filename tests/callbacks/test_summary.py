from functools import partial

import datasets
import pytest
import torch

from seqkit import Classifier, MultiTask, SequenceDataModule, Tagger
from seqkit.callbacks import Parts, Report, Summary, Throughput
from seqkit.nn import LSTM, Embedding


def tagger(splits, **options):
    torch.manual_seed(0)
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    return Tagger(data.spec, **parts, **options), data


def test_prints_scores_and_speed(splits, trainer, capsys):
    trainer(max_epochs=1, callbacks=[Summary(), Throughput()]).fit(*tagger(splits))
    printed = capsys.readouterr().out
    assert "Tagger after 1 epoch(s)" in printed
    for name in ("val_accuracy", "val_loss", "tokens a second", "parameters"):
        assert name in printed
    assert "by class" not in printed


def test_values_of_classes_have_a_table_below(splits, trainer, capsys):
    model, data = tagger(splits, per_class=True)
    run = trainer(max_epochs=1, callbacks=[Summary()])
    run.fit(model, data)
    totals, _, by_class = capsys.readouterr().out.partition("val_f1 by class")
    assert "val_f1 " in totals
    assert "val_f1_" not in totals
    for name in ("odd", "even"):
        assert f"{name} " in by_class
        assert f"{float(run.callback_metrics[f'val_f1_{name}']):.4f}" in by_class


def test_each_class_has_its_count_beside_it(splits, trainer, capsys):
    model, data = tagger(splits, per_class=True)
    run = trainer(callbacks=[Summary()])
    for evaluate, split in ((run.validate, "validation"), (run.test, "test")):
        evaluate(model, data)
        by_class = capsys.readouterr().out.partition("by class")[2].splitlines()
        tags = [tag for row in splits[split]["tags"] for tag in row]
        for name in ("odd", "even"):
            (line,) = (line for line in by_class if f" {name} " in line)
            assert f" {tags.count(name)} " in line


def test_spans_and_heads_have_counts(trainer, capsys):
    rows = {"words": [list("abcd")[: 3 + i % 2] for i in range(8)], "label": ["u", "v"] * 4}
    rows["tags"] = [["B-x", "I-x", "B-y", "O"][: len(row)] for row in rows["words"]]
    splits = dict.fromkeys(("train", "validation", "test"), datasets.Dataset.from_dict(rows))
    data = SequenceDataModule(splits, inputs="words", targets=["tags", "label"], max_tokens=12)
    heads = {"tags": partial(Tagger, per_class=True), "label": partial(Classifier, per_class=True)}
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    model = MultiTask(data.spec, heads=heads, **parts)
    trainer(callbacks=[Summary()]).test(model, data)
    capsys.readouterr()
    counts = model.class_counts("test")
    assert {name: counts[f"test_tags_span_f1_{name}"] for name in "xy"} == {"x": 8, "y": 8}
    assert [counts[f"test_tags_f1_{name}"] for name in ("B-x", "I-x", "B-y")] == [8, 8, 8]
    assert {name: counts[f"test_label_f1_{name}"] for name in "uv"} == {"u": 4, "v": 4}


@pytest.mark.parametrize("reports", [False, True])
def test_a_test_prints_the_totals_first(splits, trainer, capsys, reports):
    model, data = tagger(splits, per_class=True)
    run = trainer(callbacks=[Summary(), *([Report(worst=0)] if reports else [])])
    (scores,) = run.test(model, data)
    printed = capsys.readouterr().out
    assert "Test metric" not in printed  # Lightning's table
    totals, _, by_class = printed.partition("test, tags" if reports else "test_f1 by class")
    for name in ("test_loss", "test_accuracy", "test_f1"):
        assert f"{name} " in totals
        assert f"{scores[name]:.4f}" in totals
    for name in ("odd", "even"):
        assert f"test_f1_{name}" in scores
        assert name not in totals
        assert name in by_class
    assert ("by class" in printed) != reports


def test_validate_prints_its_scores_unless_told_otherwise(splits, trainer, capsys):
    model, data = tagger(splits)
    run = trainer(callbacks=[Summary()])
    (scores,) = run.validate(model, data)
    printed = capsys.readouterr().out
    assert f"{scores['val_accuracy']:.4f}" in printed
    assert "Validate metric" not in printed
    run.validate(model, data, verbose=False)
    run.test(model, data, verbose=False)
    assert capsys.readouterr().out == ""


def test_names_of_classes_are_printed_literally(splits, trainer, capsys):
    rows = {split: rows.to_dict() for split, rows in splits.items()}
    for columns in rows.values():
        columns["tags"] = [[f"[b]{tag}[/b]" for tag in tags] for tags in columns["tags"]]
    renamed = type(splits)({split: type(splits[split]).from_dict(columns) for split, columns in rows.items()})
    trainer(max_epochs=1, callbacks=[Summary()]).fit(*tagger(renamed, per_class=True))
    assert "[b]odd[/b]" in capsys.readouterr().out


def test_parts_with_parameters(splits, trainer, capsys):
    model, data = tagger(splits)
    options = {"enable_model_summary": True, "callbacks": [Parts()], "max_steps": 1}
    trainer(**options).fit(model, data)
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("embeddings.0", "encoder", "head", "LSTM"))
    assert f"{sum(p.numel() for p in model.parameters()):,} " in printed
    for name in ("FLOPs", "dropout", "metrics", "frozen"):
        assert name not in printed
    model.embeddings.requires_grad_(False)
    trainer(**options).fit(model, data)
    printed = capsys.readouterr().out
    assert "frozen" in printed
    assert f" {sum(p.numel() for p in model.embeddings.parameters()):,} " in printed
