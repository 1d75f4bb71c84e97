import math
import random
from functools import partial

import datasets
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn import functional as F

from seqkit import LanguageModel, SequenceDataModule, packed
from seqkit.callbacks import NonMonotonicAveraging, WordVectors
from seqkit.data import Continuous, ContinuousText
from seqkit.nn import GRU, LSTM, AdaptiveSoftmax, Downsample, Embedding, Stack, Upsample
from seqkit.tasks.language_model.scoring import add_boundaries

END = len("abcdefg ") + 1  # the id after those of the characters and of the unknown
EMBEDDING = partial(Embedding, embedding_dim=6)
ENCODER = partial(LSTM, hidden_size=8)
ADAM = partial(torch.optim.Adam, lr=0.02)
KINDS = {
    "one way": {},
    "tied": {"tied": True, "encoder": partial(GRU, hidden_size=6)},
    "two layers": {"encoder": partial(LSTM, hidden_size=8, num_layers=2)},
    "both ways": {"bidirectional": True},
    "adaptive": {"softmax": partial(AdaptiveSoftmax, cutoffs=[3, 6], div_value=2.0)},
}


def texts(count, seed=0, lengths=(1, 12)):
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefg ") for _ in range(draw.randint(*lengths))) for _ in range(count)]


@pytest.fixture(scope="module")
def rows():
    made = {name: datasets.Dataset.from_dict({"text": texts(30, i)}) for i, name in enumerate("abc")}
    return datasets.DatasetDict(train=made["a"], validation=made["b"], test=made["c"])


def build(rows, *, continuous=None, max_tokens=40, **options):
    budget = {} if continuous else {"max_tokens": max_tokens}
    data = SequenceDataModule(rows, inputs="text", continuous=continuous, **budget)
    torch.manual_seed(0)
    arguments = {"encoder": ENCODER, "embedding": EMBEDDING, "optimizer": ADAM} | options
    return LanguageModel(data.spec, **arguments), data


def stock(encoder):
    kind = nn.GRU if isinstance(encoder, GRU) else nn.LSTM
    made = kind(encoder.input_size, encoder.hidden_size, encoder.num_layers).double()
    made.load_state_dict(encoder.state_dict())
    return made


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def ids_of(data, text):
    return data.rows("train").dataset[text]["text"]


class TestSentences:
    def test_begin_and_end(self):
        read, target = add_boundaries(packed.pack([torch.tensor([4, 5, 6]), torch.tensor([7])]), END)
        assert [row.tolist() for row in packed.unpack(read)] == [[END, 4, 5, 6], [END, 7]]
        assert [row.tolist() for row in packed.unpack(target)] == [[4, 5, 6, END], [7, END]]

    @pytest.mark.parametrize("kind", ["one way", "tied", "two layers"])
    def test_a_batch_gives_what_its_rows_give_alone_in_stock_torch(self, rows, kind):
        model, data = build(rows, **KINDS[kind])
        model = model.double()
        numbers = [3, 1, 4, 15, 9, 2]
        loss = model.step(data.rows("train")[numbers], "val")
        loss.backward()
        mine = gradients(model)
        model.zero_grad()
        net, total, tokens = stock(model.encoder), 0.0, 0
        for number in numbers:
            ids = torch.tensor(ids_of(data, number))
            hidden, _ = net(model.embeddings[0].weight[torch.cat([torch.tensor([END]), ids])])
            logits = model.softmax.linear(hidden)
            total = total + F.cross_entropy(logits, torch.cat([ids, torch.tensor([END])]), reduction="sum")
            tokens += len(ids) + 1
        (total / tokens).backward()
        torch.testing.assert_close(loss, total / tokens)
        weights = dict(net.named_parameters())
        for name, gradient in mine.items():
            theirs = weights[name.removeprefix("encoder.")] if "encoder" in name else model.get_parameter(name)
            torch.testing.assert_close(gradient, theirs.grad, msg=name)

    def test_scores_of_rows_are_those_of_the_loss(self, rows, trainer):
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

    def test_a_net_that_knows_nothing_has_as_many_choices_as_there_are_classes(self, rows, trainer):
        model, data = build(rows)
        nn.init.zeros_(model.softmax.linear.weight)
        nn.init.zeros_(model.softmax.linear.bias)
        (scores,) = trainer().test(model, data, verbose=False)
        classes = len("abcdefg ") + 2  # the unknown and the boundary
        assert scores["test_perplexity"] == pytest.approx(classes, rel=1e-5)
        assert scores["test_bits_per_character"] == pytest.approx(math.log2(classes), rel=1e-5)

    def test_every_token_weighs_the_same_in_every_batch(self, rows, trainer):
        """Steps of plain SGD at rate 0 sum to one on all rows: the loss is a sum over a constant, ends included."""
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


CONTINUOUS = Continuous(batch_size=3, bptt=7, evaluation_batch_size=2)


class TestContinuousText:
    def test_an_epoch_is_that_of_a_plain_loop(self, rows, trainer):
        """Each stream alone in stock torch, piece by piece, states detached in between: values and gradients."""
        model, data = build(rows, continuous=CONTINUOUS, optimizer=partial(torch.optim.SGD, lr=0.0))
        losses, found = [], []

        class Keep(Callback):
            def on_before_optimizer_step(self, trainer, pl_module, optimizer):
                found.append(gradients(pl_module))

            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                losses.append(trainer.callback_metrics["train_loss"].item())

        run = trainer(
            max_epochs=1, callbacks=[Keep()], limit_val_batches=0, precision="64-true", log_every_n_steps=1
        )
        run.fit(model, data)
        text = [END]
        for number in range(30):
            text += [*ids_of(data, number), END]
        count = len(text) - 1
        net = stock(model.encoder)
        pieces = list(data._train_sampler)
        lengths = [count // 3 + (k < count % 3) for k in range(3)]
        states, starts = [None] * 3, [0, lengths[0], lengths[0] + lengths[1]]
        sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        model = model.double()
        for step, (start, stop) in enumerate(pieces):
            model.zero_grad()
            net.zero_grad()
            total, units = 0.0, 0
            for k in range(3):
                end = min(stop, lengths[k])
                if start >= end:
                    continue
                ids = torch.tensor(text[starts[k] + start : starts[k] + end + 1])
                hidden, state = net(model.embeddings[0].weight[ids[:-1]], states[k])
                states[k] = tuple(part.detach() for part in state)
                total = total + F.cross_entropy(model.softmax.linear(hidden), ids[1:], reduction="sum")
                units += len(ids) - 1
            assert losses[step] == pytest.approx(total.item() / units, rel=1e-6)
            (total * len(pieces) / count).backward()
            weights = dict(net.named_parameters())
            for name in sums:
                own = weights[name.removeprefix("encoder.")] if "encoder" in name else model.get_parameter(name)
                torch.testing.assert_close(found[step][name], own.grad, rtol=1e-8, atol=1e-12, msg=name)
        assert len(found) == len(pieces) > 5

    def test_evaluation_counts_each_token_once_and_forgets_nothing(self, rows, trainer):
        """Pieces give what each stream gives in one go."""
        model, data = build(rows, continuous=CONTINUOUS)
        run = trainer(precision="64-true")
        first, again = run.validate(model, data, verbose=False)[0], run.validate(model, data, verbose=False)[0]
        assert first == again  # states are not those of the last run
        encoded = data.rows("validation").dataset["text"]
        text = torch.tensor([END] + [i for row in encoded for i in [*row, END]])
        model = model.double()
        net, total, half = stock(model.encoder), 0.0, -(-(len(text) - 1) // 2)
        for stream in (text[: half + 1], text[half:]):
            hidden, _ = net(model.embeddings[0].weight[stream[:-1]])
            total += F.cross_entropy(model.softmax.linear(hidden), stream[1:], reduction="sum").item()
        assert first["val_loss"] == pytest.approx(total / (len(text) - 1), rel=1e-6)

    @pytest.mark.filterwarnings("ignore:.*exists and is not empty")
    def test_resumes_in_mid_epoch_as_if_nothing_had_happened(self, rows, trainer, tmp_path):
        options = {"output_dropout": 0.3}
        model, data = build(rows, continuous=CONTINUOUS, **options)
        keep = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
        run = trainer(max_epochs=2, callbacks=[keep], enable_checkpointing=True, val_check_interval=4)
        run.fit(model, data)
        other, other_data = build(rows, continuous=CONTINUOUS, **options)
        keep = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="again-{step}")
        resumed = trainer(max_epochs=2, callbacks=[keep], enable_checkpointing=True, val_check_interval=4)
        resumed.fit(other, other_data, ckpt_path=tmp_path / "step=5.ckpt", weights_only=True)
        assert resumed.global_step == run.global_step
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], weight, rtol=0, atol=0, msg=name)

    def test_the_last_piece_may_be_of_fewer_streams(self, rows):
        """Two streams of 6 and 5 tokens, in pieces of 5: of the last piece the first stream is left."""
        model, _ = build(rows, continuous=CONTINUOUS)
        model = model.double().eval()
        text = np.arange(12) % 5
        streams, nll = ContinuousText(text, "text", 2), 0.0
        for piece in ((0, 5), (5, 6)):
            batch = streams[piece]
            nll += model.step(batch, "val").item() * len(batch.inputs["text"].data)
        net, expected = stock(model.encoder), 0.0
        for stream in (torch.from_numpy(text[:7]), torch.from_numpy(text[6:])):
            hidden, _ = net(model.embeddings[0].weight[stream[:-1]])
            expected += F.cross_entropy(model.softmax.linear(hidden), stream[1:], reduction="sum").item()
        assert batch.rows.tolist() == [0]
        assert nll == pytest.approx(expected)

    def test_both_ways_is_refused(self, rows):
        model, _ = build(rows, bidirectional=True)
        with pytest.raises(ValueError, match="bidirectional=True cannot read continuous text, whose later tokens"):
            model.step(ContinuousText(np.arange(12) % 5, "text", 2)[0, 3], "val")

    def test_overfit_batches(self, rows, trainer):
        model, data = build(rows, continuous=CONTINUOUS)
        run = trainer(max_epochs=2, overfit_batches=2)
        run.fit(model, data)
        assert run.global_step == 4


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


def test_learns_eight_rows_by_heart(trainer):
    few = datasets.Dataset.from_dict({"text": [f"{i} {word}" for i, word in enumerate(texts(8, 5, (6, 9)))]})
    model, data = build(
        {"train": few, "validation": few}, encoder=partial(GRU, hidden_size=32), optimizer=partial(ADAM, lr=0.03)
    )
    run = trainer(max_epochs=120, limit_val_batches=0)
    run.fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    tokens = sum(len(text) + 1 for text in few["text"])
    assert scores["val_loss"] == pytest.approx(8 * math.log(8) / tokens, abs=0.02)  # which row it is, and no more
    assert model.generate([text[0] for text in few["text"]], 20, temperature=0) == few["text"][:]


class TestBothWays:
    def test_a_token_changes_no_prediction_of_its_own(self, rows):
        model, data = build(rows, bidirectional=True)
        model = model.double().eval()
        ids = data.rows("train")[[0, 3, 7, 11]].inputs["text"]
        forward, backward = model({"text": ids}).data, model.backward_log_probs({"text": ids}).data
        places = len(ids.data)
        starts = ids.batch_sizes.cumsum(0) - ids.batch_sizes
        steps, ranks = packed.positions(ids), packed.sequences(ids)
        lengths = packed.lengths(ids)
        for i in range(places):
            changed = ids._replace(data=ids.data.clone())
            changed.data[i] = (changed.data[i] + 1) % 8
            one, other = model({"text": changed}).data, model.backward_log_probs({"text": changed}).data
            moved = (one != forward).any(-1).nonzero().flatten().tolist()
            # In the framed rows a step begins after all tokens of the steps before, and each row has one more.
            t, b = int(steps[i]), int(ranks[i])
            sizes = torch.cat([ids.batch_sizes[:1], ids.batch_sizes])
            framed_starts = sizes.cumsum(0) - sizes
            assert moved == [int(framed_starts[s]) + b for s in range(t + 1, int(lengths[b]) + 1)]
            moved = (other != backward).any(-1).nonzero().flatten().tolist()
            assert moved == [int(starts[s]) + b for s in range(t)]

    def test_the_second_direction_is_that_of_reversed_rows(self, rows):
        model, data = build(rows, bidirectional=True)
        model = model.double().eval()
        ids = data.rows("train")[[0, 3, 7]].inputs["text"]
        found = packed.unpack(model.backward_log_probs({"text": ids}))
        net = stock(model.backward_encoder)
        for row, mine in zip(packed.unpack(ids), found, strict=True):
            read = torch.cat([torch.tensor([END]), row.flip(0)])
            hidden, _ = net(model.embeddings[0].weight[read[:-1]])
            torch.testing.assert_close(mine, model.softmax.linear(hidden).log_softmax(-1).flip(0))

    def test_the_loss_is_the_mean_of_both(self, rows):
        model, data = build(rows, bidirectional=True)
        model = model.double().eval()
        batch = data.rows("train")[[0, 3, 7]]
        (_, columns) = model.predict_step(batch, 0)
        nll = [
            [*a, b, *c, d] for a, b, c, d in zip(*(columns[n] for n in columns if n != "perplexity"), strict=True)
        ]
        every = [value for row in nll for value in row]
        assert model.step(batch, "val").item() == pytest.approx(sum(every) / len(every))

    def test_one_direction_has_no_second(self, rows):
        model, data = build(rows)
        with pytest.raises(ValueError, match="has one direction; build it with bidirectional=True"):
            model.backward_log_probs(data.rows("train")[[0]].inputs)


class TestGenerate:
    def test_the_likeliest_tokens_are_those_of_a_plain_loop(self, rows, trainer):
        model, data = build(rows)
        trainer(max_epochs=3, limit_val_batches=0).fit(model, data)
        model = model.double()
        net, vocabulary = stock(model.encoder), model.vocabulary
        prompts = ["", "a", "abc de", "gg"]
        for prompt, written in zip(prompts, model.generate(prompts, 12, temperature=0, may_end=False), strict=True):
            ids = [END, *vocabulary.encode([prompt])[0]]
            for _ in range(12):
                hidden, _ = net(model.embeddings[0].weight[torch.tensor(ids)])
                logits = model.softmax.linear(hidden[-1])
                logits[[0, END]] = -torch.inf  # the unknown and the end
                ids.append(int(logits.argmax()))
            assert written == vocabulary.decode([ids[1:]])[0]

    def test_random_numbers_are_its_own(self, rows):
        model, _ = build(rows)
        before = torch.get_rng_state()
        one = model.generate(["a"] * 4, 30, seed=1)
        assert model.generate(["a"] * 4, 30, seed=1) == one
        assert model.generate(["a"] * 4, 30, seed=2) != one
        assert len(set(one)) > 1
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training

    def test_rows_end_by_themselves(self, rows):
        model, _ = build(rows)
        with torch.no_grad():
            model.softmax.linear.bias[END] = 100.0
        assert model.generate(["ab", ""], 10) == ["ab", ""]
        assert [len(text) for text in model.generate(["ab", ""], 10, may_end=False)] == [12, 10]

    def test_what_could_not_be_written_is_never_drawn(self, rows):
        model, _ = build(rows)
        with torch.no_grad():
            model.softmax.linear.bias[0] = 100.0
        assert "<unk>" not in model.generate(["a"], 20, may_end=False)[0]

    def test_no_tokens_and_no_prompts(self, rows):
        model, _ = build(rows)
        assert model.generate(["abc"], 0) == ["abc"]
        stacked, _ = build(rows, encoder=partial(Stack, layers=[partial(GRU, hidden_size=4)]))
        with pytest.raises(ValueError, match="encoder Stack takes no state to go on from, as continuous text and"):
            stacked.generate(["abc"], 3)
        with pytest.raises(ValueError, match="generate needs at least one prompt"):
            model.generate([])
        with pytest.raises(ValueError, match="top_k=0"):
            model.generate(["abc"], top_k=0)
        assert model.training


class TestHardData:
    def test_unseen_characters_and_rows_ten_times_longer(self, rows, trainer):
        long = datasets.Dataset.from_dict({"text": ["abc xyz é " * 15, "Ω"]})
        model, data = build({"train": rows["train"], "test": long})
        run = trainer(max_epochs=1)
        run.fit(model, data)
        (scores,) = run.test(model, data, verbose=False)
        assert math.isfinite(scores["test_loss"])
        assert model.generate(["Ωa"], 3, may_end=False)[0].startswith("<unk>a")

    def test_an_empty_batch_takes_part_without_changing_anything(self, rows):
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

    def test_dropouts_act_in_training_alone(self, rows):
        model, data = build(rows, embedding_dropout=0.5, input_dropout=0.5, output_dropout=0.5)
        batch = data.rows("train")[[0, 3, 7]]
        assert not torch.equal(model.train()(batch.inputs).data, model(batch.inputs).data)
        assert torch.equal(model.eval()(batch.inputs).data, model(batch.inputs).data)

    def test_the_whole_recipe(self, rows, trainer):
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
