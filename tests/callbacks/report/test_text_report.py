"""The reports of tasks whose rows are label sequences or text."""

import json
import math
from collections import Counter
from functools import partial

import datasets
import pytest
import torch

from seqkit import CTCRecognizer, LanguageModel, SequenceDataModule
from seqkit.callbacks import Report
from seqkit.callbacks.report.text_tallies import EditTally, PlaceTally, TokenTally
from seqkit.callbacks.report.worst_rows import WorstRows
from seqkit.data import Characters, Continuous, LabelSequences
from seqkit.nn import LSTM, Embedding
from seqkit.tasks import TaskOutput

ENCODER, EMBEDDING = partial(LSTM, hidden_size=8), partial(Embedding, embedding_dim=8)


def report_on(model, data, trainer, tmp_path, **options):
    (scores,) = trainer(callbacks=[Report(folder=str(tmp_path), **options)]).test(model, data, verbose=False)
    return scores


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def spoken():
    """Rows that are spelled as they are said but for one letter, one of them in two ways."""
    words = ["abc", "cab", "bb", "a", "cc", "abab"] * 4
    said = [[list(word), list(word[::-1])] for word in words]
    rows = datasets.Dataset.from_dict({"word": words, "said": said})
    splits = datasets.DatasetDict(train=rows, validation=rows, test=rows.select(range(6)))
    data = SequenceDataModule(splits, {"word": Characters()}, {"said": LabelSequences()}, max_tokens=16)
    torch.manual_seed(0)
    return CTCRecognizer(
        data.spec, encoder=partial(LSTM, hidden_size=16, bidirectional=True), embedding=EMBEDDING
    ), data


def test_label_sequences(spoken, trainer, tmp_path, capsys):
    model, data = spoken
    trainer(max_epochs=3).fit(model, data)
    scores = report_on(model, data, trainer, tmp_path, worst=3)
    report = json.loads((tmp_path / "test_said.json").read_text())
    totals = report["totals"]
    wrong = sum(totals[kind] for kind in ("substitution", "deletion", "insertion"))
    assert wrong / totals["labels"] == pytest.approx(scores["test_label_error_rate"])
    assert totals["rows_wrong"] / totals["rows"] == pytest.approx(scores["test_sequence_error_rate"])
    assert totals["labels"] == sum(of["support"] for of in report["by_label"].values())
    assert sum(edit["count"] for edit in report["edits"]) == wrong
    worst = lines(tmp_path / "test_said_worst.jsonl")
    losses = []
    for row in range(6):
        batch = data.rows("test")[[row]]
        with torch.no_grad():
            loss = float(model.loss.each(model.eval()(batch.inputs), batch.targets["said"]))
        losses.append(0.0 if math.isinf(loss) else loss)  # what cannot be aligned does not count
    assert [line["row"] for line in worst] == sorted(range(6), key=lambda row: -losses[row])[:3]
    for line in worst:
        assert line["loss"] == pytest.approx(losses[line["row"]], rel=1e-4)
        assert line["true"] in line["columns"]["said"]
        batch = data.rows("test")[[line["row"]]]
        assert line["predicted"] == model.predictions_to_python(model.decode(model(batch.inputs)))[0]
    assert "share of edits" in capsys.readouterr().out
    assert (tmp_path / "test_said.png").exists()


def test_edits_by_hand(spoken):
    """abc for abd-like pairs: the labels are a, b, c; each row is decoded from scores that say it outright."""
    model, data = spoken
    batch = data.rows("test")[[0, 3, 4]]  # abc, cc, a: the longest first
    assert batch.rows.tolist() == [0, 4, 3]
    blank = 3
    said = [
        [0, 2, 2],
        [
            2,
            blank,
        ],
        [1],
    ]  # ac for abc; c for cc; b for a
    scores = torch.full((6, 4), -9.0)
    by_step = [row[t] for t in range(3) for row in said if t < len(row)]
    scores[torch.arange(6), torch.tensor(by_step)] = 9.0
    tally = EditTally(model)
    tally.update(TaskOutput(batch.inputs["word"]._replace(data=scores), batch.targets["said"]))
    assert tally.to_python()["edits"] == [
        {"edit": "substitution", "true": "a", "predicted": "b", "count": 1},
        {"edit": "deletion", "true": "b", "predicted": None, "count": 1},
        {"edit": "deletion", "true": "c", "predicted": None, "count": 1},
    ]
    assert tally.to_python()["totals"] == {
        "labels": 6,
        "right": 3,
        "substitution": 1,
        "deletion": 2,
        "insertion": 0,
        "rows": 3,
        "rows_wrong": 3,
    }
    other = EditTally(model)
    other.merge([tally, tally])
    assert other.to_python()["totals"]["labels"] == 12
    assert other.to_python()["edits"][0]["count"] == 2


def test_labels_that_training_did_not_have_are_reported_as_such(spoken):
    model, data = spoken
    rows = datasets.Dataset.from_dict({"word": ["ab"], "said": [[["a", "z"]]]})
    other = SequenceDataModule(datasets.DatasetDict(test=rows), spec=data.spec, max_tokens=16)
    batch = other.rows("test")[[0]]
    outcome = model.task_output(model(batch.inputs), batch)
    tally = EditTally(model)
    tally.update(outcome)
    assert "(unknown)" in {edit["true"] for edit in tally.to_python()["edits"]}
    assert tally.figure("it") is not None
    worst = WorstRows(model, 1)
    worst.update([0], outcome)
    assert worst.lines[0]["true"] == ["a", None]
    assert worst.lines[0]["loss"] == 0.0  # it does not count
    assert worst.table(["ab"]).row_count == 1


@pytest.mark.parametrize("bidirectional", [False, True])
def test_language_model(splits, trainer, tmp_path, capsys, bidirectional):
    data = SequenceDataModule(splits.select_columns("words"), "words", max_tokens=32)
    torch.manual_seed(0)
    model = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING, bidirectional=bidirectional)
    scores = report_on(model, data, trainer, tmp_path, worst=4)
    report = json.loads((tmp_path / "test_words.json").read_text())
    rows = splits["test"]["words"]
    assert report["all"]["tokens"] == sum(len(row) + 1 for row in rows)
    assert report["all"]["perplexity"] == pytest.approx(scores["test_perplexity"], rel=1e-4)
    assert report["all"]["bits"] == pytest.approx(scores["test_bits_per_token"], rel=1e-4)
    # Row by row, by what `predict` says.
    predicted = {}
    for found, columns in trainer().predict(model, data):
        for i, row in enumerate(found):
            nats = [*columns["nll"][i], columns["end_nll"][i]]
            if bidirectional:
                back = [*columns["backward_nll"][i], columns["begin_nll"][i]]
                nats = [(x + y) / 2 for x, y in zip(nats, back, strict=True)]
            predicted[row] = nats
    places = Counter(), Counter()
    for nats in predicted.values():
        for place, value in enumerate(nats, start=1):
            name = {1: "1", 2: "2 to 3", 3: "2 to 3"}.get(place, "4 to 7" if place < 8 else "8 to 15")
            places[0][name] += 1
            places[1][name] += value
    assert {name: of["tokens"] for name, of in report["by_place"].items()} == dict(places[0])
    for name, of in report["by_place"].items():
        assert of["perplexity"] == pytest.approx(math.exp(places[1][name] / places[0][name]), rel=1e-4)
    counts = Counter(word for row in rows for word in row)
    by_token = {of["token"]: of for of in report["by_token"]}
    assert by_token.pop("(end)")["count"] == len(rows)
    assert {token: of["count"] for token, of in by_token.items()} == dict(counts)
    for line in lines(tmp_path / "test_words_worst.jsonl"):
        assert line["tokens"] == [*rows[line["row"]], "(end)"]
        assert line["nats"] == pytest.approx(predicted[line["row"]], rel=1e-4)
        assert line["loss"] == pytest.approx(sum(line["nats"]) / len(line["nats"]), rel=1e-4)
    means = {row: sum(nats) / len(nats) for row, nats in predicted.items()}
    worst = [line["row"] for line in lines(tmp_path / "test_words_worst.jsonl")]
    assert worst == sorted(means, key=lambda row: -means[row])[:4]
    printed = capsys.readouterr().out
    assert "costliest" in printed
    assert "place in the row" in printed


def test_continuous_text_has_tokens_but_neither_places_nor_rows(trainer, tmp_path, capsys):
    text = datasets.Dataset.from_dict({"text": ["ab\nba " * 20] * 4})
    splits = datasets.DatasetDict(train=text, validation=text, test=text)
    data = SequenceDataModule(splits, {"text": Characters()}, continuous=Continuous(batch_size=2, bptt=10))
    model = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    scores = report_on(model, data, trainer, tmp_path)
    report = json.loads((tmp_path / "test_text.json").read_text())
    assert report["all"]["perplexity"] == pytest.approx(scores["test_perplexity"], rel=1e-4)
    assert report["by_place"] == {}
    assert {of["token"] for of in report["by_token"]} >= {"a", "b", " ", "\n"}
    assert not (tmp_path / "test_text_worst.jsonl").exists()
    printed = capsys.readouterr().out
    assert "place in the row" not in printed
    assert "'\\n'" in printed  # a line end as code


def test_ranks_counts_add_up(splits):
    data = SequenceDataModule(splits.select_columns("words"), "words", max_tokens=32)
    model = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING).eval()
    batches = [data.rows("test")[rows] for rows in ([0, 1, 2], [3, 4])]
    outcomes = [model._score_batch(batch, "test")[0] for batch in batches]
    for make in (lambda: TokenTally(model), PlaceTally):
        one, first, second = make(), make(), make()
        for outcome, tally in zip(outcomes, (first, second), strict=True):
            one.update(outcome)
            tally.update(outcome)
        first.merge([second])
        assert first.to_python() == one.to_python()


def test_a_column_with_a_slash_in_its_name(splits, trainer, tmp_path):
    renamed = datasets.DatasetDict({name: rows.rename_column("words", "my/words") for name, rows in splits.items()})
    data = SequenceDataModule(renamed.select_columns("my/words"), "my/words", max_tokens=32)
    report_on(LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING), data, trainer, tmp_path)
    assert (tmp_path / "test_my%2Fwords.json").exists()
    assert (tmp_path / "test_my%2Fwords_worst.jsonl").exists()
