import json
import sys
from collections import Counter
from functools import partial
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from seqkit import Classifier, Forecaster, Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import Report
from seqkit.callbacks.report.worst_rows import WorstRow, WorstRows
from seqkit.data import MultiLabels, WordCharacters
from seqkit.losses import CrossEntropy
from seqkit.metrics import ClassReport
from seqkit.nn import CRF, GRU, LSTM, CharacterLSTM, Embedding
from seqkit.tasks import RowReport, TaskOutput

ENCODER, EMBEDDING = partial(LSTM, hidden_size=8), partial(Embedding, embedding_dim=8)


def run_on(task, splits, target, trainer, *, loggers, epochs=1, **options):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    torch.manual_seed(0)
    model = task(data.spec, encoder=ENCODER, embedding=EMBEDDING, **options)
    trainer(max_epochs=epochs).fit(model, data)
    run = trainer(callbacks=[Report(worst=5)], logger=loggers)
    (scores,) = run.test(model, data, verbose=False)
    return model, data, run, scores


@pytest.fixture
def loggers(tmp_path):
    return [CSVLogger(tmp_path, name=None, version=0), TensorBoardLogger(tmp_path, name=None, version=0)]


def results_by_row(model, data, column):
    """For each row of the dataset: the prediction, the target and the mean loss."""
    rows, model = data.rows("test"), model.eval()
    found = []
    for row in range(len(rows)):
        batch = rows[[row]]
        with torch.no_grad():
            output = model(batch.inputs)
            total, units = model.compute_loss(output, batch.targets[column])
        found.append((model.decode(output), batch.targets[column], float(total / units)))
    return found


def test_classes_of_tokens(splits, trainer, loggers, tmp_path, capsys):
    model, data, _, scores = run_on(Tagger, splits, "tags", trainer, loggers=loggers)
    folder = tmp_path / "version_0"
    report = json.loads((folder / "test_tags.json").read_text())
    alone = results_by_row(model, data, "tags")
    pairs = Counter(
        pair
        for predicted, true, _ in alone
        for pair in zip(true.data.tolist(), predicted.data.tolist(), strict=True)
    )
    assert report["confusion"] == [[pairs[i, j] for j in range(2)] for i in range(2)]
    for i, name in enumerate(model.labels.names):
        of = report["by_class"][name]
        assert of["support"] == pairs[i, 0] + pairs[i, 1]
        assert of["recall"] == pytest.approx(pairs[i, i] / of["support"])
        assert of["precision"] == pytest.approx(pairs[i, i] / max(pairs[0, i] + pairs[1, i], 1))
    assert report["means"]["micro"]["f1"] == pytest.approx(scores["test_accuracy"])
    assert report["means"]["macro"]["f1"] == pytest.approx(scores["test_f1"])
    printed = capsys.readouterr().out
    assert "precision" in printed
    assert "even" in printed
    assert (folder / "test_tags.png").read_bytes().startswith(b"\x89PNG")


def test_the_worst_rows_are_those_with_the_largest_loss_a_token(splits, trainer, loggers, tmp_path):
    model, data, _, _ = run_on(Tagger, splits, "tags", trainer, loggers=loggers)
    losses = [loss for _, _, loss in results_by_row(model, data, "tags")]
    worst = sorted(range(len(losses)), key=lambda row: -losses[row])[:5]
    lines = [
        json.loads(line) for line in (tmp_path / "version_0" / "test_tags_worst.jsonl").read_text().splitlines()
    ]
    assert [line["row"] for line in lines] == worst
    assert [line["loss"] for line in lines] == pytest.approx([losses[row] for row in worst], rel=1e-5)
    for line in lines:
        assert line["columns"] == splits["test"][line["row"]]
        assert line["true"] == splits["test"][line["row"]]["tags"]
        assert len(line["predicted"]) == len(line["true"])


def test_the_worst_rows_show_every_column_that_an_input_reads(trainer, capsys):
    rows = datasets.Dataset.from_dict(
        {
            "premise": ["the cat sat", "a dog"] * 4,
            "hypothesis": ["it stood up", "it slept"] * 4,
            "label": ["no", "yes"] * 4,
        }
    )
    pair = {"inputs": ["premise", "hypothesis"], "unaligned": "hypothesis", "targets": "label"}
    words = {
        "inputs": {"words": None, "letters": WordCharacters(column="words"), "shapes": None},
        "targets": "tags",
    }
    tagged = datasets.Dataset.from_dict(
        {
            "words": [["Ann", "sat"], ["Ann"]] * 4,
            "shapes": [["Aaa", "aaa"], ["Aaa"]] * 4,
            "tags": [["N", "V"], ["N"]] * 4,
        }
    )
    parts = {
        "words": EMBEDDING,
        "letters": partial(CharacterLSTM, embedding_dim=4, hidden_size=4),
        "shapes": EMBEDDING,
    }
    for task, split, columns, options, expected in (
        (Classifier, rows, pair, {"embedding": EMBEDDING}, ["premise: the cat sat", "hypothesis: it stood up"]),
        (Tagger, tagged, words, {"embeddings": parts}, ["words: Ann sat", "shapes: Aaa aaa"]),
    ):
        data = SequenceDataModule(dict.fromkeys(("train", "test"), split), **columns, max_tokens=32)
        model = task(data.spec, encoder=ENCODER, **options)
        trainer(callbacks=[Report(worst=8)]).test(model, data, verbose=False)
        printed = capsys.readouterr().out
        assert all(line in printed for line in expected)
        assert "letters:" not in printed


def test_tensorboard_gets_the_figure(splits, trainer, loggers, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_on(Tagger, splits, "tags", trainer, loggers=loggers)
    events = EventAccumulator(str(tmp_path / "version_0")).Reload()
    assert events.Tags()["images"] == ["test_tags"]


def test_values(splits, trainer, loggers, tmp_path):
    model, data, _, scores = run_on(Regressor, splits, "values", trainer, loggers=loggers)
    report = json.loads((tmp_path / "version_0" / "test_values.json").read_text())
    values = report["values"]
    assert values["all"]["rmse"] == pytest.approx(scores["test_rmse"], rel=1e-5)
    assert values["last steps"]["mae"] == pytest.approx(scores["test_mae_last"], rel=1e-5)
    assert values["last steps"]["count"] == 20
    assert values["all"]["count"] == sum(map(len, splits["test"]["values"]))
    found, true = (
        torch.cat([part.data.flatten() for part in parts]).double()
        for parts in list(zip(*results_by_row(model, data, "values"), strict=True))[:2]
    )
    r2 = 1 - (found - true).square().sum() / (true - true.mean()).square().sum()
    assert values["all"]["r2"] == pytest.approx(float(r2), rel=1e-4)
    assert (tmp_path / "version_0" / "test_values.png").exists()


@pytest.mark.filterwarnings("ignore:all 6 rows have length")
@pytest.mark.parametrize("steps", [1, 3])
def test_forecasts_of_rows_of_one_step_have_no_errors(steps, trainer, tmp_path):
    rows = datasets.Dataset.from_dict({"series": [[[float(i), 1.0]] * steps for i in range(6)]})
    data = SequenceDataModule(datasets.DatasetDict(train=rows, validation=rows, test=rows), "series", max_tokens=8)
    model = Forecaster(data.spec, encoder=partial(GRU, hidden_size=4))
    trainer(callbacks=[Report(folder=str(tmp_path))]).test(model, data, verbose=False)
    values = json.loads((tmp_path / "test_series.json").read_text())["values"]
    assert bool(values) == (steps > 1)


def test_labels_of_sequences(splits, trainer, loggers, tmp_path):
    _, _, _, scores = run_on(Classifier, splits, {"labels": MultiLabels()}, trainer, loggers=loggers, epochs=5)
    report = json.loads((tmp_path / "version_0" / "test_labels.json").read_text())
    assert set(report["by_label"]) == {"odd", "high"}
    assert report["confusion"] is None
    assert report["means"]["macro"]["f1"] == pytest.approx(scores["test_f1"], rel=1e-5)
    worst = json.loads((tmp_path / "version_0" / "test_labels_worst.jsonl").read_text().splitlines()[0])
    assert sorted(worst["true"]) == sorted(splits["test"][worst["row"]]["labels"])


def test_spans_by_type(trainer, loggers, tmp_path):
    words = [["Ann", "sat"], ["in", "New", "York"], ["York"]] * 4
    tags = [["B-person", "O"], ["O", "B-place", "I-place"], ["B-place"]] * 4
    rows = datasets.Dataset.from_dict({"words": words, "tags": tags})
    splits = {"train": rows, "validation": rows, "test": rows}
    _, _, _, scores = run_on(
        Tagger,
        datasets.DatasetDict(splits),
        "tags",
        trainer,
        loggers=loggers,
        epochs=8,
        decoder=CRF,
        optimizer=partial(torch.optim.Adam, lr=0.05),
    )
    report = json.loads((tmp_path / "version_0" / "test_tags.json").read_text())
    assert {name: found["support"] for name, found in report["by_span_type"].items()} == {"person": 4, "place": 8}
    f1 = [found["f1"] for found in report["by_span_type"].values()]
    assert sum(f1) / 2 == pytest.approx(scores["test_span_f1_macro"])


def test_targets_that_do_not_count_are_left_out(splits):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING, loss=partial(CrossEntropy, ignore_index=1))
    batch = data.rows("test")[[0, 1, 2]]
    output, target = model(batch.inputs), batch.targets["tags"]
    (metric,) = model.build_report()
    metric.update(*model.report_inputs(output, target)[0])
    assert metric.confusion.sum() == metric.actual.sum() == (target.data == 0).sum()
    losses = model.sequence_losses(TaskOutput(output, target))
    for row in range(3):
        alone = data.rows("test")[[int(batch.rows[row])]]
        total, units = model.compute_loss(model(alone.inputs), alone.targets["tags"])
        torch.testing.assert_close(losses[row], total / max(int(units), 1))


def test_nothing_is_written_without_a_logger(splits, trainer, tmp_path, capsys):
    run_on(Classifier, splits, "label", trainer, loggers=False)
    assert not list(tmp_path.rglob("*.png"))
    assert "worst rows" in capsys.readouterr().out


def test_files_go_to_the_folder_that_is_given(splits, trainer, tmp_path):
    data = SequenceDataModule(splits, inputs="words", targets="label", max_tokens=32)
    model = Classifier(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    trainer(callbacks=[Report(worst=0, folder=str(tmp_path / "here"))]).test(model, data, verbose=False)
    assert {file.name for file in (tmp_path / "here").iterdir()} == {"test_label.json", "test_label.png"}


def test_a_missing_matplotlib_is_named(splits, trainer, loggers, tmp_path, monkeypatch):
    for name in [*sys.modules]:
        if name == "matplotlib" or name.startswith("matplotlib."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match="matplotlib, which is not installed: pip install"):
        run_on(Classifier, splits, "label", trainer, loggers=loggers)
    assert not (tmp_path / "version_0" / "test_label.png").exists()
    assert np.sum(json.loads((tmp_path / "version_0" / "test_label.json").read_text())["confusion"]) == 20


def test_words_that_look_like_markup_are_printed_literally(capsys):
    report = Report()
    worst = WorstRows(SimpleNamespace(summary_title="true → predicted"), 5)
    worst.merge([WorstRow(1.0, 0, RowReport({"predicted": ["[/b]"], "true": ["[red]"]}))])
    metric = ClassReport(["[/b]", "[red]"])
    metric.update(torch.tensor([0]), torch.tensor([1]))
    report._metrics, report._worst = {"tags": [metric]}, {"tags": worst}
    split = datasets.Dataset.from_dict({"words": [["[/quote]"]]})
    trainer = SimpleNamespace(
        world_size=1, is_global_zero=True, loggers=[], datamodule=SimpleNamespace(splits={"test": split})
    )
    report.on_test_end(trainer, SimpleNamespace(spec={"inputs": {"words": {}}}))
    printed = capsys.readouterr().out
    assert "[/quote]: [red] → [/b]" in printed
    assert printed.count("[/b]") == 2


def test_refuses_a_negative_number_of_rows():
    with pytest.raises(ValueError, match="Report got worst=-1; give a number of rows, 0 for none"):
        Report(worst=-1)


def test_summaries_of_values_are_of_the_last_step(splits):
    data = SequenceDataModule(splits, inputs="words", targets="values", max_tokens=32)
    model = Regressor(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    batch = data.rows("test")[[0]]
    output = TaskOutput(model(batch.inputs), batch.targets["values"])
    (row,) = model.describe_rows(output, [0])
    assert row.fields["true"] == splits["test"][0]["values"]
    assert row.summary == f"… {row.fields['true'][-1]:.4g} → {row.fields['predicted'][-1]:.4g}"


def test_summaries_of_sequences_show_both_sets_of_labels(splits):
    data = SequenceDataModule(splits, inputs="words", targets={"labels": MultiLabels()}, max_tokens=32)
    model = Classifier(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    output = TaskOutput(torch.tensor([[9.0, -9.0]]), torch.tensor([[0.0, 1.0]]))
    (row,) = model.describe_rows(output, [0])
    one, other = model.labels.names
    assert row == RowReport({"predicted": [one], "true": [other]}, f"{[other]} → {[one]}")
