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
from seqkit.callbacks.report.worst_rows import WorstRows
from seqkit.data import Characters, Continuous, LabelSequences
from seqkit.nn import LSTM, Embedding

ENCODER, EMBEDDING = partial(LSTM, hidden_size=8), partial(Embedding, embedding_dim=8)


def report_on(model, data, trainer, tmp_path, **options):
    (scores,) = trainer(callbacks=[Report(folder=str(tmp_path), **options)]).test(model, data, verbose=False)
    return scores


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def spoken():
    """A recogniser and words of letters; each word has two references, itself and its reverse."""
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
        losses.append(0.0 if math.isinf(loss) else loss)  # a row that cannot be aligned does not count
    assert [line["row"] for line in worst] == sorted(range(6), key=lambda row: -losses[row])[:3]
    for line in worst:
        assert line["loss"] == pytest.approx(losses[line["row"]], rel=1e-4)
        assert line["true"] in line["columns"]["said"]
        batch = data.rows("test")[[line["row"]]]
        assert line["predicted"] == model.predictions_to_python(model.decode(model(batch.inputs)))[0]
    assert "share of edits" in capsys.readouterr().out
    assert (tmp_path / "test_said.png").exists()


def test_labels_that_training_did_not_have_are_reported_as_unknown(spoken):
    model, data = spoken
    rows = datasets.Dataset.from_dict({"word": ["ab"], "said": [[["a", "z"]]]})
    other = SequenceDataModule(datasets.DatasetDict(test=rows), spec=data.spec, max_tokens=16)
    with pytest.warns(UserWarning, match="no label 'z' .* each one counts as an edit, and the loss leaves out its"):
        batch = other.rows("test")[[0]]
    output = model.task_output(model(batch.inputs), batch)
    (metric,) = model.build_report()
    metric.update(*model.report_inputs(*output)[0])
    assert "(unknown)" in {edit["true"] for edit in metric.to_python()["edits"]}
    assert metric.plot("title") is not None
    worst = WorstRows(model, 1)
    worst.update([0], output)
    (line,) = worst.lines()
    assert line["true"] == ["a", None]
    assert line["loss"] == 0.0  # the row does not count
    assert worst.rows[0].report.summary.startswith("a? → ")
    assert worst.table([{"text": "ab"}]).row_count == 1


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
    # Computed row by row from the predictions.
    predicted = {}
    for found, columns in trainer().predict(model, data):
        for i, row in enumerate(found):
            nll = [*columns["nll"][i], columns["end_nll"][i]]
            if bidirectional:
                back = [*columns["backward_nll"][i], columns["begin_nll"][i]]
                nll = [(x + y) / 2 for x, y in zip(nll, back, strict=True)]
            predicted[row] = nll
    places = Counter(), Counter()
    for nll in predicted.values():
        for place, value in enumerate(nll, start=1):
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
        assert line["nll"] == pytest.approx(predicted[line["row"]], rel=1e-4)
        assert line["loss"] == pytest.approx(sum(line["nll"]) / len(line["nll"]), rel=1e-4)
    means = {row: sum(nll) / len(nll) for row, nll in predicted.items()}
    worst = [line["row"] for line in lines(tmp_path / "test_words_worst.jsonl")]
    assert worst == sorted(means, key=lambda row: -means[row])[:4]
    printed = capsys.readouterr().out
    assert "costliest" in printed
    assert "place in the row" in printed


def test_continuous_text_has_tokens_but_neither_positions_nor_rows(trainer, tmp_path, capsys):
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
    assert "'\\n'" in printed  # a line end as a literal


def test_a_column_with_a_slash_in_its_name(splits, trainer, tmp_path):
    renamed = datasets.DatasetDict({name: rows.rename_column("words", "my/words") for name, rows in splits.items()})
    data = SequenceDataModule(renamed.select_columns("my/words"), "my/words", max_tokens=32)
    report_on(LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING), data, trainer, tmp_path)
    assert (tmp_path / "test_my%2Fwords.json").exists()
    assert (tmp_path / "test_my%2Fwords_worst.jsonl").exists()
