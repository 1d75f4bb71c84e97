"""Results of all tasks: the same as of each row alone, in any order and in any batches."""

import json

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import seqkit
from seqkit import packed
from seqkit.metrics import SpanF1
from tests.tasks.prediction.cases import CASES, EMBEDDING, ENCODER, assert_same, build, columns, rows_of

LENGTHS = st.lists(st.integers(1, 9), min_size=2, max_size=4)


def numbers(value):
    """List the numbers in nested plain values."""
    if isinstance(value, dict | list):
        return [n for each in (value.values() if isinstance(value, dict) else value) for n in numbers(each)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("kind", CASES)
def test_a_result_does_not_depend_on_the_other_rows(kind, model):
    task = model(kind)

    @settings(max_examples=4)
    @given(LENGTHS, st.booleans(), st.integers(1, 60), st.randoms(use_true_random=False))
    def check(lengths, has_giant, max_tokens, random):
        rows = rows_of([*lengths, *([150] if has_giant else [])], seed=len(lengths))
        random.shuffle(rows)
        alone = [task.predict(row, scores=True) for row in rows]
        together = task.predict(rows, scores=True, max_tokens=max_tokens)
        assert_same(together, alone)
        assert_same(task.predict(rows, scores=True), alone)
        assert_same(list(task.predict(iter(rows), scores=True)), alone)
        without = task.predict(rows)
        assert_same(without, [{name: row[name] for name in without[0]} for row in together])

    check()


@pytest.mark.parametrize("kind", CASES)
def test_results_are_those_of_predict_step_in_plain_types(kind, model):
    """On rows that the data module encodes."""
    task = model(kind)
    dataset = datasets.Dataset.from_dict(columns(12, 5))
    data = seqkit.SequenceDataModule({"test": dataset}, spec=task.spec, max_tokens=64)
    batch = data.rows("test", with_targets=False)[list(range(12))]
    with torch.inference_mode():
        found, values = task.eval().predict_step(batch, 0, scores=True)
    expected = [{name: each[found.index(row)] for name, each in values.items()} for row in range(12)]
    results = task.predict(dataset, scores=True)
    assert_same(results, expected)
    assert json.loads(json.dumps(results)) == results


@pytest.mark.parametrize("kind", ["tagger", "crf", "classifier", "pairs", "ctc", "sets of labels"])
def test_scores_of_each_row_alone_by_hand(kind, model):
    task = model(kind).eval()
    column = task.target_column
    data = seqkit.SequenceDataModule(
        {"test": datasets.Dataset.from_dict(columns(8, 6))}, spec=task.spec, max_tokens=9
    )
    encoded = data.rows("test", with_targets=False)
    for row, found in enumerate(task.predict(columns(8, 6), scores=True)):
        with torch.no_grad():
            output = task(encoded[[row]].inputs)
        scores = found[f"{column}_scores"]
        if kind == "classifier" or kind == "pairs":
            assert scores == pytest.approx(dict(zip(task.labels.names, output[0].softmax(0).tolist(), strict=True)))
            assert found[column] == max(scores, key=scores.get)
        elif kind == "sets of labels":
            assert scores == pytest.approx(dict(zip(task.labels.names, output[0].sigmoid().tolist(), strict=True)))
            assert found[column] == [name for name in task.labels.names if scores[name] > 0.5]
        elif kind == "ctc":
            best = output.data.softmax(-1).max(-1)
            before = torch.cat([torch.tensor([-1]), best.indices[:-1]])
            kept = (best.indices != len(task.names)) & (best.indices != before)
            assert scores == pytest.approx(best.values[kept].tolist())
            assert found[column] == [task.names[i] for i in best.indices[kept]]
        else:
            each = output.data.softmax(-1) if kind == "tagger" else task.decoder.marginals(output).data
            chosen = [task.labels.names.index(name) for name in found[column]]
            assert scores == pytest.approx([each[i, tag].item() for i, tag in enumerate(chosen)])


@pytest.mark.parametrize("kind", CASES)
def test_scores_are_probabilities(kind, model):
    scored = [
        value
        for row in model(kind).predict(rows_of([3, 1, 6]), scores=True)
        for name, value in row.items()
        if name.endswith("_scores")
    ]
    task = type(model(kind)).__name__
    assert bool(scored) is (task not in ("Regressor", "Forecaster", "LanguageModel"))
    assert all(0 <= score <= 1 + 1e-6 for score in numbers(scored))


def test_spans_are_those_that_span_f1_counts(model):
    task = model("spans")
    rows = rows_of(range(1, 12))
    found = task.predict(rows)
    metric = SpanF1(task.labels.names, scheme="BIO")
    index = {name: i for i, name in enumerate(task.labels.names)}
    tags = packed.pack([torch.tensor([index[tag] for tag in row["spans"]]) for row in found])
    metric.update(tags, tags)
    assert metric.correct.sum() == sum(len(row["spans_spans"]) for row in found) > 0
    for row in found:
        for span in row["spans_spans"]:
            assert row["spans"][span["start"]].endswith(span["type"])
            assert row["spans"][span["end"] - 1].endswith(span["type"])


def test_names_of_several_targets(model):
    (row,) = model("several targets").predict(rows_of([4]), scores=True)
    assert set(row) == {
        *("spans", "spans_spans", "spans_scores", "label", "label_scores", "label_words_attention"),
        *("flags", "flags_scores", "value"),
    }


@pytest.mark.parametrize("kind", CASES)
def test_a_model_whose_training_diverged_is_refused(kind):
    task = build(kind)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"an output of \w+ is NaN, as after a training that diverged; take an"):
        task.predict(rows_of([2, 1]))


# Empty rows.


@pytest.mark.parametrize("kind", CASES)
def test_an_empty_row(kind, model):
    task = model(kind)
    rows = rows_of([2, 3, 1])
    expected = task.predict(rows)
    empty = {name: value[:0] if isinstance(value, list | str) else value for name, value in rows[0].items()}
    mixed = [empty, rows[0], empty, *rows[1:]]
    with pytest.raises(ValueError, match=r"row 0 \(column '\w+'\): an empty sequence, .* empty=\"none\""):
        task.predict(mixed)
    with pytest.raises(ValueError, match=r"row 1003 \(column"):
        list(task.predict(rows[i % 3] if i != 1003 else empty for i in range(1005)))
    assert_same(task.predict(mixed, empty="none"), [None, expected[0], None, *expected[1:]])
    assert task.predict([empty, empty], empty="none") == [None, None]
    assert task.predict(empty, empty="none") is None


def test_one_empty_sequence_of_a_pair(model):
    rows = rows_of([2, 3])
    rows[1]["other"] = []
    with pytest.raises(ValueError, match=r"row 1 \(column 'other'\): an empty sequence"):
        model("pairs").predict(rows)
    assert model("pairs").predict(rows, empty="none")[1] is None


# The model afterwards.


def modes(task):
    return [module.training for module in task.modules()]


def test_each_part_has_its_own_mode_again():
    task = build("tagger").train()
    task.encoder.eval()
    before = modes(task)
    task.predict(rows_of([2]))
    assert modes(task) == before
    with pytest.raises(ValueError, match="an empty sequence"):
        task.predict([["a"], []])
    assert modes(task) == before
    assert all(parameter.requires_grad for parameter in task.parameters())


def test_an_error_in_the_model_leaves_its_mode(monkeypatch):
    task = build("tagger").train()

    def fail(_):
        raise RuntimeError("broken")

    monkeypatch.setattr(task, "encode", fail)
    with pytest.raises(RuntimeError, match="broken"):
        task.predict(rows_of([2]))
    assert all(modes(task))


def test_dropout_and_gradients_are_off():
    task = build("tagger").train()
    task.dropout.p = 0.9
    seen = []
    task.encoder.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    assert_same(task.predict(rows_of([5]), scores=True), task.predict(rows_of([5]), scores=True))
    assert seen == [False, False]


def test_the_model_trains_after_a_prediction():
    task = build("crf").train()
    task.predict(rows_of([3, 2]), scores=True)
    data = seqkit.SequenceDataModule(
        {"test": datasets.Dataset.from_dict(columns(4, 0))}, spec=task.spec, max_tokens=64
    )
    batch = data.rows("test")[[0, 1, 2, 3]]
    task.compute_loss(task(batch.inputs), batch.targets["tags"])[0].backward()
    assert all(parameter.grad is not None for parameter in task.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", ["series", "tagger", "forecaster"])
def test_a_model_of_another_precision(kind, dtype, model):
    expected = model(kind).predict(rows_of([4, 2]), scores=True)
    found = build(kind).to(dtype).predict(rows_of([4, 2]), scores=True)
    tolerance = 0.3 if dtype == torch.bfloat16 else 1e-4
    assert numbers(found) == pytest.approx(numbers(expected), rel=tolerance, abs=tolerance)


# Batches.


def test_batches_keep_the_budget(monkeypatch, model):
    task = model("tagger")
    sizes = []
    step = task.predict_step

    def watched(batch, number):
        sizes.append((len(batch.inputs["words"].data), len(batch.rows)))
        return step(batch, number)

    monkeypatch.setattr(task, "predict_step", watched)
    task.predict(rows_of([3, 9, 30, 1, 8, 2, 5]), max_tokens=10)
    assert [tokens for tokens, _ in sizes] == [30, 9, 8, 10, 1]
    sizes.clear()
    task.predict(rows_of([3, 9, 30, 1, 8, 2, 5]))
    assert sizes == [(58, 7)]


def test_both_sequences_of_a_pair_count(monkeypatch, model):
    task = model("pairs")
    sizes = []
    step = task.predict_step
    monkeypatch.setattr(task, "predict_step", lambda batch, n: sizes.append(len(batch.rows)) or step(batch, n))
    task.predict(rows_of([4, 4, 4]), max_tokens=16)
    assert sizes == [2, 1]


def test_a_stream_is_read_a_thousand_rows_at_a_time():
    task = build("tagger").train()
    read = []

    def rows():
        for i in range(2500):
            read.append(i)
            yield {"words": [f"w{i % 20}"]}

    results = task.predict(rows())
    assert read == []
    first = next(results)
    assert len(read) == 1000
    assert task.training
    assert not torch.is_inference_mode_enabled()
    rest = list(results)
    assert len(rest) == 2499
    assert [first, *rest[:19]] == task.predict([[f"w{i}"] for i in range(20)])


def test_no_rows(model):
    task = model("tagger")
    for rows in ([], datasets.Dataset.from_dict({"words": []}), np.zeros((0, 3))):
        assert task.predict(rows) == []
    assert list(task.predict(iter([]))) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens=0: must be an integer of at least 1"),
        ({"max_tokens": 1.5}, "max_tokens=1.5: must be an integer"),
        ({"empty": "drop"}, "empty='drop': must be one of 'raise', 'none'"),
        ({"scores": 1}, "scores=1: must be True or False"),
        ({"progress": "yes"}, "progress='yes': must be True or False"),
    ],
)
def test_wrong_options(options, message, model):
    with pytest.raises((TypeError, ValueError), match=message):
        model("tagger").predict([["a"]], **options)


def test_a_task_without_scores_of_its_own_predicts():
    class Own(seqkit.Tagger):
        def predict_step(self, batch, batch_idx):
            return super().predict_step(batch, batch_idx)

    spec = build("tagger").spec
    task = Own(spec, encoder=ENCODER, embedding=EMBEDDING)
    assert len(task.predict([["w1", "w2"]])[0]["tags"]) == 2


def test_load_rebuilds_any_task(tmp_path, trainer, model):
    for kind in ("tagger", "several targets", "ctc"):
        task = model(kind)
        run = trainer()
        run.strategy.connect(task)
        run.save_checkpoint(tmp_path / "model.ckpt")
        loaded = seqkit.load(tmp_path / "model.ckpt", map_location="cpu")
        assert type(loaded) is type(task)
        assert_same(loaded.predict(rows_of([3, 1]), scores=True), task.predict(rows_of([3, 1]), scores=True))
    with pytest.raises(ValueError, match="is no checkpoint of seqkit"):
        seqkit.load(__file__)
