import copy
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from seqkit import Classifier, PackCollate, Regressor, SequenceDataModule, Tagger, packed
from seqkit.data import MultiLabels
from seqkit.losses import CrossEntropy
from seqkit.nn import GRU, LSTM, AttentionPool, Embedding, MaxPool, MeanPool, Projection
from seqkit.optim import WarmupCosine

EMBEDDING = partial(Embedding, embedding_dim=8)
ENCODER = partial(LSTM, hidden_size=8, bidirectional=True)

TASKS = {
    "tags": (Tagger, "tags", {}),
    "flags": (Tagger, "flags", {}),
    "label": (Classifier, "label", {}),
    "labels": (Classifier, {"labels": MultiLabels()}, {"pooling": MeanPool}),
    "values": (Regressor, "values", {"causal": True, "encoder": partial(GRU, hidden_size=8)}),
    "value": (Regressor, "value", {"pooling": MaxPool}),
}


def build(name, splits, **options):
    task, target, arguments = TASKS[name]
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    arguments = {"embedding": EMBEDDING, "encoder": ENCODER} | arguments | options
    torch.manual_seed(0)
    return task(data.spec, **arguments), data


@pytest.mark.parametrize("name", TASKS)
def test_fits_validates_tests_and_predicts(name, splits, trainer):
    model, data = build(name, splits)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert model.monitor[0] in run.callback_metrics
    (scores,) = run.test(model, data, verbose=False)
    assert torch.isfinite(torch.tensor(list(scores.values()))).all()
    predictions = run.predict(model, data)
    rows = [row for rows, _ in predictions for row in rows]
    assert sorted(rows) == list(range(20))


@pytest.mark.parametrize("name", TASKS)
def test_gradients_reach_every_parameter(name, splits):
    model, data = build(name, splits)
    batch = data.rows("train")[list(range(16))]
    total, _ = model.compute_loss(model(batch.inputs), batch.targets[model.target_column])
    total.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_equals_its_sequences_alone_in_stock_torch(name, splits):
    model, data = build(name, splits)
    model = model.double().eval()
    rows = data.rows("train")
    batch = rows[[3, 1, 4, 15, 9, 2]]
    output = model(batch.inputs)
    each = packed.unpack(output) if isinstance(output, PackedSequence) else list(output)
    stock = (nn.GRU if isinstance(model.encoder, GRU) else nn.LSTM)(8, 8, bidirectional=model.encoder.bidirectional)
    stock = stock.double()
    stock.load_state_dict(model.encoder.state_dict())
    for row, mine in zip(batch.rows.tolist(), each, strict=True):
        ids = rows[row].inputs["words"].data
        hidden, state = stock(model.embeddings[0].weight[ids])
        if model.pooling is not None:
            final = (state[0] if isinstance(state, tuple) else state).flatten()
            hidden = {"MeanPool": hidden.mean(0), "MaxPool": hidden.amax(0), "LastPool": final}[
                type(model.pooling).__name__
            ]
        torch.testing.assert_close(mine, model.head(hidden))


@pytest.mark.parametrize("name", TASKS)
def test_overfits_eight_rows(name, splits, trainer):
    few = splits["train"].select(range(8))
    model, data = build(name, {"train": few, "validation": few}, optimizer=partial(torch.optim.Adam, lr=0.05))
    run = trainer(max_epochs=80, limit_val_batches=0)
    run.fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    main = model.monitor[0]
    assert scores[main] > 0.99 if model.monitor[1] == "max" else scores[main] < 1.0


@pytest.mark.parametrize("name", TASKS)
def test_checkpoint_rebuilds_the_model_from_plain_types(name, splits, trainer, tmp_path):
    model, data = build(name, splits)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    rebuilt = type(model).load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert rebuilt.spec == model.spec
    batch = data.rows("test")[[0, 1, 2]]
    mine, theirs = model.eval()(batch.inputs), rebuilt.eval()(batch.inputs)
    torch.testing.assert_close(mine, theirs)


def test_every_token_weighs_the_same_in_every_batch(splits, trainer):
    """The gradients of an epoch at learning rate 0 sum to those of one step on all rows."""
    model, data = build("tags", splits, optimizer=partial(torch.optim.SGD, lr=0.0))
    gradients = torch.zeros(0)

    class Sum(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            nonlocal gradients
            flat = torch.cat([p.grad.flatten() for p in pl_module.parameters()])
            gradients = flat if not len(gradients) else gradients + flat

    run = trainer(max_epochs=1, callbacks=[Sum()], limit_val_batches=0, precision="64-true")
    run.fit(model, data)
    rows = data.rows("train")
    batch = rows[list(range(len(rows)))]
    model = model.double()
    model.zero_grad()
    total, units = model.compute_loss(model(batch.inputs), batch.targets["tags"])
    total.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    steps = run.global_step
    assert steps > 5
    torch.testing.assert_close(gradients, expected * steps / units, rtol=1e-9, atol=1e-12)


def test_without_a_plan_the_loss_is_the_mean_of_the_batch(splits, trainer):
    model, data = build("tags", splits)
    encoded = data.rows("train").dataset
    loader = DataLoader(encoded, batch_size=8, collate_fn=PackCollate("words", targets="tags"))
    run = trainer(max_epochs=1)
    run.fit(model, loader, loader)
    assert run.global_step == len(loader)
    assert model._units_per_step is None


def test_logs_means_per_unit(splits, trainer):
    model, data = build("tags", splits)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    (scores,) = run.validate(model, data, verbose=False)
    batch = data.rows("validation")[list(range(20))]
    with torch.no_grad():
        logits = model.eval()(batch.inputs)
    target = batch.targets["tags"]
    assert scores["val_loss"] == pytest.approx(float(CrossEntropy()(logits, target)), rel=1e-5)
    accuracy = (logits.data.argmax(-1) == target.data).float().mean()
    assert scores["val_accuracy"] == pytest.approx(float(accuracy))


def test_a_batch_without_rows_has_zero_gradients(splits):
    model, data = build("tags", splits)
    loss = model.step(data.rows("train")[[]], "train")
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in model.parameters())


def test_several_inputs_with_embeddings_of_their_own(splits, trainer):
    data = SequenceDataModule(splits, inputs=["words", "series", "values"], targets="tags", max_tokens=32)
    model = Tagger(
        data.spec, encoder=ENCODER, embedding=EMBEDDING, embeddings={"series": partial(Projection, output_size=5)}
    )
    assert model.encoder.input_size == 8 + 5 + 1
    trainer(max_epochs=1).fit(model, data)


def test_attention_pooling_is_configurable(splits):
    model, data = build("label", splits, pooling=partial(AttentionPool, hidden_size=4))
    assert model(data.rows("test")[[0, 1]].inputs).shape == (2, 2)


def test_schedule_gets_the_steps_of_the_whole_fit(splits, trainer):
    model, data = build("tags", splits, lr_scheduler=WarmupCosine)
    run = trainer(max_epochs=2)
    run.fit(model, data)
    scheduler = run.lr_scheduler_configs[0].scheduler
    assert scheduler.total_steps == run.global_step == scheduler.last_epoch
    assert scheduler.get_last_lr()[0] == pytest.approx(0, abs=1e-9)


def test_per_class_scores_have_names(splits, trainer):
    model, data = build("tags", splits, per_class=True)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert {"val_f1_odd", "val_f1_even"} <= set(run.callback_metrics)


def test_moving_a_batch_leaves_batch_sizes_on_the_cpu(splits):
    _, data = build("tags", splits)
    batch = data.rows("train")[[0, 1]]
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.rows.device.type == moved.inputs["words"].data.device.type == "meta"
    assert moved.inputs["words"].batch_sizes.device.type == "cpu"


class TestBadInput:
    def test_ids_without_an_embedding(self, splits):
        with pytest.raises(
            ValueError, match="input 'words' holds ids, but no embedding is given; give `embedding`"
        ):
            build("tags", splits, embedding=None)

    def test_bidirectional_encoder_in_a_causal_task(self, splits):
        message = "Tagger is causal, but encoder LSTM is bidirectional: its backward direction sees later steps"
        with pytest.raises(ValueError, match=message):
            build("tags", splits, causal=True)

    def test_encoder_without_output_size(self, splits):
        with pytest.raises(ValueError, match="encoder Linear has no `output_size`"):
            build("tags", splits, encoder=partial(nn.Linear, out_features=3))

    def test_labels_for_a_regressor(self, splits):
        _, data = build("tags", splits)
        with pytest.raises(ValueError, match="Regressor needs values, but target 'tags' is a class per token"):
            Regressor(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_labels_per_token_for_a_classifier(self, splits):
        _, data = build("tags", splits)
        with pytest.raises(
            ValueError, match="Classifier needs labels per sequence, but target 'tags' is a class per"
        ):
            Classifier(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_two_targets(self, splits):
        data = SequenceDataModule(splits, inputs="words", targets=["tags", "flags"], max_tokens=32)
        with pytest.raises(ValueError, match=r"exactly one target, but the data has \['tags', 'flags'\]"):
            Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_embedding_for_a_column_that_is_no_input(self, splits):
        with pytest.raises(ValueError, match=r"embeddings for \['chars'\], but the inputs are \['words'\]"):
            build("tags", splits, embeddings={"chars": EMBEDDING})

    def test_batch_without_an_input(self, splits):
        model, _ = build("tags", splits)
        with pytest.raises(KeyError, match="the batch lacks the input 'words'"):
            model({})

    def test_a_part_that_a_checkpoint_cannot_rebuild(self, splits):
        with pytest.raises(
            TypeError, match=r"embedding=.*cannot be kept in a checkpoint; give a class, or functools"
        ):
            build("tags", splits, embedding=lambda size: Embedding(size, 8))

    def test_checkpoint_of_another_task(self, splits, trainer, tmp_path):
        model, data = build("tags", splits)
        run = trainer(max_epochs=1)
        run.fit(model, data)
        run.save_checkpoint(tmp_path / "tagger.ckpt")
        other, other_data = build("label", splits)
        with pytest.raises(ValueError, match=r"checkpoint is one of .*Tagger, but the model is .*Classifier"):
            trainer().test(other, other_data, ckpt_path=tmp_path / "tagger.ckpt", weights_only=True)
        with pytest.raises(ValueError, match=r"checkpoint is one of .*Tagger, but the model is .*Classifier"):
            Classifier.load_from_checkpoint(tmp_path / "tagger.ckpt", weights_only=True)


def test_the_spec_is_not_changed(splits):
    """Building a model does not change the spec, from which others are built."""
    _, data = build("tags", splits)
    before = copy.deepcopy(data.spec)
    Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    assert data.spec == before
