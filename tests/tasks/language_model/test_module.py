import math
from functools import partial

import datasets
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from seqkit import LanguageModel, SequenceDataModule, packed
from seqkit.callbacks import NonMonotonicAveraging, WordVectors
from seqkit.nn import GRU, LSTM, Downsample, Embedding, Stack, Upsample
from seqkit.tasks.language_model.scoring import add_boundaries
from tests.tasks.language_model.cases import (
    ADAM,
    CONTINUOUS,
    EMBEDDING,
    ENCODER,
    END,
    KINDS,
    build,
    gradients,
    ids_of,
    stock,
    texts,
)


class TestSentences:
    def test_begin_and_end(self):
        read, target = add_boundaries(packed.pack([torch.tensor([4, 5, 6]), torch.tensor([7])]), END)
        assert [row.tolist() for row in packed.unpack(read)] == [[END, 4, 5, 6], [END, 7]]
        assert [row.tolist() for row in packed.unpack(target)] == [[4, 5, 6, END], [7, END]]

    @pytest.mark.parametrize("kind", ["one direction", "tied", "two layers"])
    def test_a_batch_equals_its_rows_alone_in_stock_torch(self, rows, kind):
        model, data = build(rows, **KINDS[kind])
        model = model.double()
        numbers = [3, 1, 4, 15, 9, 2]
        loss = model.step(data.rows("train")[numbers], "val")
        loss.backward()
        mine = gradients(model)
        model.zero_grad()
        rnn, total, tokens = stock(model.encoder), 0.0, 0
        for number in numbers:
            ids = torch.tensor(ids_of(data, number))
            hidden, _ = rnn(model.embeddings[0].weight[torch.cat([torch.tensor([END]), ids])])
            logits = model.softmax.linear(hidden)
            total = total + F.cross_entropy(logits, torch.cat([ids, torch.tensor([END])]), reduction="sum")
            tokens += len(ids) + 1
        (total / tokens).backward()
        torch.testing.assert_close(loss, total / tokens)
        weights = dict(rnn.named_parameters())
        for name, gradient in mine.items():
            theirs = weights[name.removeprefix("encoder.")] if "encoder" in name else model.get_parameter(name)
            torch.testing.assert_close(gradient, theirs.grad, msg=name)

    def test_predicted_nll_agrees_with_the_loss(self, rows, trainer):
        model, data = build(rows)
        run = trainer()
        (scores,) = run.test(model, data, verbose=False)
        lines = {
            row: {name: values[i] for name, values in columns.items()}
            for numbers, columns in run.predict(model, data)
            for i, row in enumerate(numbers)
        }
        assert sorted(lines) == list(range(30))
        nll = [[*lines[row]["nll"], lines[row]["end_nll"]] for row in lines]
        assert [len(lines[row]["nll"]) for row in range(30)] == [len(text) for text in rows["test"]["text"]]
        every = [value for row in nll for value in row]
        assert scores["test_loss"] == pytest.approx(np.mean(every), rel=1e-5)
        assert scores["test_perplexity"] == pytest.approx(math.exp(np.mean(every)), rel=1e-5)
        assert scores["test_bits_per_character"] == pytest.approx(np.mean(every) / math.log(2), rel=1e-5)
        line = lines[0]
        assert line["perplexity"] == pytest.approx(math.exp(np.mean([*line["nll"], line["end_nll"]])), rel=1e-5)

    def test_the_perplexity_of_a_uniform_model_is_the_number_of_classes(self, rows, trainer):
        model, data = build(rows)
        nn.init.zeros_(model.softmax.linear.weight)
        nn.init.zeros_(model.softmax.linear.bias)
        (scores,) = trainer().test(model, data, verbose=False)
        classes = len("abcdefg ") + 2  # the unknown and the boundary
        assert scores["test_perplexity"] == pytest.approx(classes, rel=1e-5)
        assert scores["test_bits_per_character"] == pytest.approx(math.log2(classes), rel=1e-5)

    def test_every_token_weighs_the_same_in_every_batch(self, rows, trainer):
        """The gradients of an epoch at learning rate 0 sum to those of one step on all rows, ends included."""
        model, data = build(rows, optimizer=partial(torch.optim.SGD, lr=0.0))
        found = []

        class Keep(Callback):
            def on_before_optimizer_step(self, trainer, pl_module, optimizer):
                found.append(torch.cat([p.grad.flatten() for p in pl_module.parameters()]))

        run = trainer(max_epochs=1, callbacks=[Keep()], limit_val_batches=0, precision="64-true")
        run.fit(model, data)
        everything = data.rows("train")[list(range(30))]
        model = model.double()
        model.zero_grad()
        model.step(everything, "val").backward()
        expected = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(sum(found) / run.global_step, expected, rtol=1e-9, atol=1e-12)

    def test_words_have_bits_per_token(self, trainer):
        rows = datasets.Dataset.from_dict({"words": [["to", "be"], ["or"], ["not", "to", "be"]] * 10})
        data = SequenceDataModule(rows, inputs="words", max_tokens=16, test_fraction=0.2)
        model = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING, optimizer=ADAM)
        run = trainer(max_epochs=1)
        run.fit(model, data)
        (scores,) = run.test(model, data, verbose=False)
        assert scores["test_bits_per_token"] == pytest.approx(scores["test_loss"] / math.log(2), rel=1e-5)
        (written,) = model.generate([["to"]], 3, may_end=False)
        assert written[0] == "to"
        assert len(written) == 4
        assert set(written) <= {"to", "be", "or", "not"}
        assert len(model.generate([[]], 3, may_end=False)[0]) == 3


def test_starts_from_word_vectors(trainer, tmp_path):
    (tmp_path / "vectors.txt").write_text("be 1 2 3 4 5 6\nto 6 5 4 3 2 1\n")
    rows = datasets.Dataset.from_dict({"words": [["to", "be"], ["or"], ["not", "to", "be"]] * 10})
    data = SequenceDataModule(rows, inputs="words", max_tokens=16, validation_fraction=0.0)
    model = LanguageModel(data.spec, encoder=ENCODER, embedding=partial(Embedding, embedding_dim=6))
    callback = WordVectors(str(tmp_path / "vectors.txt"), frozen_epochs=-1)
    trainer(max_epochs=1, limit_val_batches=0, callbacks=[callback]).fit(model, data)
    (ids,) = model.vocabulary.encode([["be", "to"]])
    assert model.embeddings[0].weight[ids].tolist() == [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]


@pytest.mark.parametrize("continuous", [None, CONTINUOUS], ids=["sentences", "continuous"])
def test_fits_validates_tests_and_predicts(rows, trainer, continuous):
    model, data = build(rows, continuous=continuous, embedding_dropout=0.1, input_dropout=0.2)
    run = trainer(max_epochs=3)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    assert scores["test_loss"] < math.log(10)
    assert set(scores) == {"test_loss", "test_perplexity", "test_bits_per_character"}
    predicted = run.predict(model, data)
    assert sorted(row for numbers, _ in predicted for row in numbers) == list(range(30))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(rows, kind):
    model, data = build(rows, **KINDS[kind])
    model.step(data.rows("train")[list(range(30))], "val").backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_rebuilds_the_model_from_plain_types(rows, trainer, tmp_path, kind):
    model, data = build(rows, **KINDS[kind])
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = LanguageModel.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    batch = data.rows("test")[[0, 1, 2]]
    torch.testing.assert_close(again.eval()(batch.inputs), model.eval()(batch.inputs))
    if kind == "tied":
        assert again.softmax.linear.weight is again.embeddings[0].weight


def test_overfits_eight_rows(trainer):
    few = datasets.Dataset.from_dict({"text": [f"{i} {word}" for i, word in enumerate(texts(8, 5, (6, 9)))]})
    model, data = build(
        {"train": few, "validation": few}, encoder=partial(GRU, hidden_size=32), optimizer=partial(ADAM, lr=0.03)
    )
    run = trainer(max_epochs=120, limit_val_batches=0)
    run.fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    tokens = sum(len(text) + 1 for text in few["text"])
    # Only the choice of the row is uncertain.
    assert scores["val_loss"] == pytest.approx(8 * math.log(8) / tokens, abs=0.02)
    assert model.generate([text[0] for text in few["text"]], 20, temperature=0) == few["text"][:]


class TestHardData:
    def test_unseen_characters_and_rows_ten_times_longer(self, rows, trainer):
        long = datasets.Dataset.from_dict({"text": ["abc xyz é " * 15, "Ω"]})
        model, data = build({"train": rows["train"], "test": long})
        run = trainer(max_epochs=1)
        run.fit(model, data)
        (scores,) = run.test(model, data, verbose=False)
        assert math.isfinite(scores["test_loss"])
        assert model.generate(["Ωa"], 3, may_end=False)[0].startswith("<unk>a")

    def test_a_batch_without_rows_has_zero_gradients(self, rows):
        model, data = build(rows)
        model.step(data.rows("train")[[]], "train").backward()
        assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in model.parameters())
        assert model.predict_step(data.rows("train")[[]], 0).rows == []


class TestRegularisation:
    def test_penalties_are_those_of_awd_lstm(self, rows):
        model, data = build(rows, activation_penalty=2.0, temporal_penalty=1.0)
        batch = data.rows("train")[[0, 3, 7]]
        ids, target = add_boundaries(batch.inputs["text"], END)
        _, penalty, _ = model.train()._score(ids, target, model.encoder, None)
        hidden = [
            model.encoder.forward(model.embeddings[0](packed.pack([row])))[0].data for row in packed.unpack(ids)
        ]
        expected = sum(2.0 * h.square().mean(-1).sum() + (h[1:] - h[:-1]).square().mean(-1).sum() for h in hidden)
        torch.testing.assert_close(penalty, expected)
        _, penalty, _ = model.eval()._score(ids, target, model.encoder, None)
        assert penalty == 0

    def test_dropout_acts_only_in_training(self, rows):
        model, data = build(rows, embedding_dropout=0.5, input_dropout=0.5, output_dropout=0.5)
        batch = data.rows("train")[[0, 3, 7]]
        assert not torch.equal(model.train()(batch.inputs).data, model(batch.inputs).data)
        assert torch.equal(model.eval()(batch.inputs).data, model(batch.inputs).data)

    def test_awd_lstm_with_all_options(self, rows, trainer):
        """AWD-LSTM: its dropouts and penalties, tied weights, SGD with averaging, words instead of characters."""
        made = {
            split: datasets.Dataset.from_dict({"words": [text.split() for text in rows[split]["text"]]})
            for split in rows
        }
        data = SequenceDataModule(made, inputs="words", continuous=CONTINUOUS)
        encoder = partial(LSTM, hidden_size=6, num_layers=3, locked_dropout=0.2, weight_dropout=0.5)
        averaging = NonMonotonicAveraging(patience=0)
        model = LanguageModel(
            data.spec,
            encoder=encoder,
            embedding=EMBEDDING,
            tied=True,
            embedding_dropout=0.1,
            input_dropout=0.4,
            output_dropout=0.4,
            activation_penalty=2.0,
            temporal_penalty=1.0,
            optimizer=partial(torch.optim.SGD, lr=30.0, weight_decay=1.2e-6),
        )
        run = trainer(max_epochs=6, callbacks=[averaging], gradient_clip_val=0.25)
        run.fit(model, data)
        assert averaging.triggered
        (scores,) = run.test(model, data, verbose=False)
        assert math.isfinite(scores["test_perplexity"])


class TestBadInput:
    def test_an_encoder_that_changes_the_steps(self, rows):
        layers = [partial(Downsample, factor=2), ENCODER, partial(Upsample, factor=2)]
        with pytest.raises(ValueError, match="LanguageModel predicts what follows each step, but encoder Stack"):
            build(rows, encoder=partial(Stack, layers=layers))

    def test_a_bidirectional_encoder(self, rows):
        message = (
            "encoder LSTM is bidirectional: its backward direction has read that token already; set the encoder"
        )
        with pytest.raises(ValueError, match=message):
            build(rows, encoder=partial(LSTM, hidden_size=4, bidirectional=True))

    def test_a_target(self, splits):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        with pytest.raises(ValueError, match=r"predicts the ids that it reads, but .* targets \['tags'\]"):
            LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_features(self, splits):
        data = SequenceDataModule(splits, inputs="series", max_tokens=32)
        with pytest.raises(ValueError, match=r"the inputs \['series'\] \(features\)"):
            LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_tied_weights_that_do_not_fit(self, rows):
        with pytest.raises(
            ValueError, match="the embedding has 6 features, but the encoder's output has 8; make them"
        ):
            build(rows, tied=True)

    def test_an_encoder_without_output_size(self, rows):
        with pytest.raises(ValueError, match="encoder Linear has no `output_size`"):
            build(rows, encoder=partial(nn.Linear, out_features=3))

    def test_a_batch_without_the_column(self, rows):
        model, _ = build(rows)
        with pytest.raises(KeyError, match="the batch lacks the input 'text'"):
            model({})
