from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from seqkit import MultiTask, Regressor, SequenceDataModule, Tagger, packed
from seqkit.callbacks import Report
from seqkit.data import MultiLabels
from seqkit.nn import CRF, LSTM, AttentionPool, Embedding, MeanPool
from seqkit.tasks import Classifier

EMBEDDING = partial(Embedding, embedding_dim=8)
ENCODER = partial(LSTM, hidden_size=8, bidirectional=True)
TARGETS = {"tags": None, "flags": None, "label": None, "labels": MultiLabels(), "values": None, "value": None}


def build(splits, targets=None, **options):
    data = SequenceDataModule(splits, inputs="words", targets=targets or dict(TARGETS), max_tokens=32)
    torch.manual_seed(0)
    return MultiTask(data.spec, encoder=ENCODER, embedding=EMBEDDING, **options), data


def outcomes(model, batch):
    outputs = model(batch.inputs)
    return {column: head.task_output(outputs[column], batch) for column, head in model.heads.items()}


def test_each_target_has_the_head_of_its_kind(splits):
    model, _ = build(splits)
    kinds = {column: type(head).__name__ for column, head in model.heads.items()}
    assert kinds == {
        "tags": "Tagger",
        "flags": "Tagger",
        "label": "Classifier",
        "labels": "Classifier",
        "values": "Regressor",
        "value": "Regressor",
    }


@pytest.mark.parametrize("column", TARGETS)
def test_a_head_equals_a_separate_task(column, splits):
    model, data = build(splits)
    alone_data = SequenceDataModule(splits, inputs="words", targets={column: TARGETS[column]}, max_tokens=32)
    head = model.heads[column]
    alone = type(head)(alone_data.spec, encoder=ENCODER, embedding=EMBEDDING)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("head_")}
    alone.load_state_dict(state | head.state_dict(), strict=True)
    batch, own = data.rows("test")[[3, 1, 4]], alone_data.rows("test")[[3, 1, 4]]
    torch.testing.assert_close(model(batch.inputs)[column], alone(own.inputs))
    total, units = alone.compute_loss(alone(own.inputs), own.targets[column])
    torch.testing.assert_close(head.compute_loss(*outcomes(model, batch)[column]), (total, units))


def test_gradients_reach_every_parameter_of_a_head_with_a_weight(splits):
    model, data = build(splits, weights={"label": 0.0, "value": 2.0})
    batch = data.rows("train")[list(range(16))]
    losses = {
        column: total / units
        for column, head in model.heads.items()
        for total, units in [head.compute_loss(*outcomes(model, batch)[column])]
    }
    expected = sum({"label": 0.0, "value": 2.0}.get(column, 1.0) * loss for column, loss in losses.items())
    expected.backward()
    idle = f"head_{model.columns.index('label')}."
    for name, parameter in model.named_parameters():
        assert (parameter.grad.abs().sum() > 0) is not name.startswith(idle), name


def test_logs_every_head_and_the_weighted_sum(splits, trainer):
    model, data = build(splits, weights={"label": 0.5}, main="tags")
    assert model.monitor == ("val_tags_accuracy", "max")
    run = trainer(max_epochs=1, log_every_n_steps=1)
    run.fit(model, data)
    logged = run.callback_metrics
    assert {"val_tags_f1", "val_labels_exact_match", "val_values_rmse_last", "train_value_loss"} <= set(logged)
    assert {"train_tags_accuracy", "train_loss"} <= set(logged)
    (scores,) = run.test(model, data, verbose=False)
    each = sum((0.5 if column == "label" else 1.0) * scores[f"test_{column}_loss"] for column in TARGETS)
    assert scores["test_loss"] == pytest.approx(each, rel=1e-5)


def test_every_unit_of_a_target_weighs_the_same_in_every_batch(splits, trainer):
    """The gradients of an epoch at learning rate 0 sum to those of one step on all rows."""
    model, data = build(
        splits, {"tags": None, "label": None}, weights={"label": 3.0}, optimizer=partial(torch.optim.SGD, lr=0.0)
    )
    gradients = torch.zeros(0)

    class Sum(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            nonlocal gradients
            flat = torch.cat([p.grad.flatten() for p in pl_module.parameters()])
            gradients = flat if not len(gradients) else gradients + flat

    run = trainer(max_epochs=1, callbacks=[Sum()], limit_val_batches=0, precision="64-true")
    run.fit(model, data)
    model = model.double()
    model.zero_grad()
    rows = data.rows("train")
    found = outcomes(model, rows[list(range(len(rows)))])
    (tags, tokens), (label, count) = (head.compute_loss(*found[column]) for column, head in model.heads.items())
    (tags / tokens + 3 * label / count).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(gradients, expected * run.global_step, rtol=1e-9, atol=1e-12)


def test_overfits_eight_rows(splits, trainer):
    few = splits["train"].select(range(8))
    model, data = build(
        {"train": few, "validation": few},
        {"tags": None, "label": None, "value": None},
        optimizer=partial(torch.optim.Adam, lr=0.05),
    )
    trainer(max_epochs=80, limit_val_batches=0).fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_tags_accuracy"] == scores["val_label_accuracy"] == 1.0
    assert scores["val_value_rmse"] < 2.0


def test_a_checkpoint_rebuilds_the_heads(splits, trainer, tmp_path):
    heads = {
        "tags": partial(Tagger, decoder=CRF, dropout=0.1),
        "label": partial(Classifier, pooling=partial(AttentionPool, hidden_size=4), attention=True),
        "value": partial(Regressor, pooling=MeanPool),
    }
    model, data = build(splits, {"tags": None, "label": None, "value": None}, heads=heads, main="value")
    run = trainer(max_epochs=1, callbacks=[Report(worst=2)])
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = MultiTask.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert again.monitor == ("val_value_rmse", "min")
    batch = data.rows("test")[[0, 1, 2]]
    mine, theirs = model.eval()(batch.inputs), again.eval()(batch.inputs)
    assert mine.keys() == theirs.keys()
    for column in mine:
        torch.testing.assert_close(mine[column], theirs[column])
    (scores,) = run.test(again, data, verbose=False)
    assert {"test_tags_accuracy", "test_label_f1", "test_value_mae"} <= set(scores)
    for rows, columns in run.predict(again, data):
        assert set(columns) == {"tags", "label", "value", "label_words_attention"}
        for row, tags, weights in zip(rows, columns["tags"], columns["label_words_attention"], strict=True):
            assert len(tags) == len(weights) == len(splits["test"][row]["words"])
            assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_a_batch_without_one_of_the_classes(splits, trainer):
    lone = splits["test"].filter(lambda row: row["label"] == "odd")
    model, data = build(splits, {"label": None, "tags": None})
    only = SequenceDataModule({"test": lone}, spec=data.spec, max_tokens=64)
    report = Report(worst=2)
    (scores,) = trainer(callbacks=[report]).test(model, only, verbose=False)
    assert all(torch.isfinite(torch.tensor(list(scores.values()))))


def test_a_batch_without_rows_has_zero_gradients(splits):
    model, data = build(splits)
    empty = data.rows("train")[[]]
    model.step(empty, "train").backward()
    assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in model.parameters())
    assert model.test_step(empty, 0) == {}
    assert model.predict_step(empty, 0) == ([], {})


def test_sequences_much_longer_than_in_training(splits):
    model, data = build(splits)
    rows = splits["test"].select([0]).to_dict()
    longer = {name: [values[0] * 90] if isinstance(values[0], list) else values for name, values in rows.items()}
    batch = SequenceDataModule({"test": splits["test"].from_dict(longer)}, spec=data.spec, max_tokens=10_000).rows(
        "test"
    )[[0]]
    with torch.no_grad():
        found = outcomes(model.eval(), batch)
    assert len(packed.unpack(found["tags"].output)[0]) == 90 * len(rows["words"][0])
    assert all(torch.isfinite(head.compute_loss(*found[c])[0]) for c, head in model.heads.items())


class TestBadInput:
    def test_no_target(self, splits):
        data = SequenceDataModule(splits, inputs="words", max_tokens=32)
        with pytest.raises(
            ValueError, match="MultiTask needs a target or more, but the data has none; name columns"
        ):
            MultiTask(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    @pytest.mark.parametrize("option", [{"heads": {"x": Tagger}}, {"weights": {"x": 1.0}}, {"main": "x"}])
    def test_options_for_a_column_that_is_no_target(self, option, splits):
        with pytest.raises(ValueError, match=rf"{next(iter(option))} for \['x'\], but the targets are \['tags'\]"):
            build(splits, {"tags": None}, **option)

    def test_a_negative_weight(self, splits):
        with pytest.raises(ValueError, match="the weight of target 'tags' is -1; give one of at least 0"):
            build(splits, {"tags": None}, weights={"tags": -1})

    def test_a_head_of_another_kind(self, splits):
        with pytest.raises(
            ValueError, match="Classifier needs labels per sequence, but target 'tags' is a class per"
        ):
            build(splits, {"tags": None}, heads={"tags": Classifier})
