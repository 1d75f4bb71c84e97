"""What a stream of a language model gives for pieces of rows is what the model gives for whole rows."""

import math
from functools import cache, partial

import datasets
import pytest
import torch
from hypothesis import given, settings
from torch.nn.utils.rnn import PackedSequence

from seqkit import Batch, LanguageModel, SequenceDataModule
from seqkit.data import Ids, TokenizerFile
from seqkit.data.encoders.tokenizer import dump_vocabulary, new_tokenizer
from seqkit.nn import GRU, LSTM, Stack
from tests.tasks.language_model.cases import EMBEDDING, ENCODER, END, KINDS, build
from tests.tasks.stream.cases import Learned, assert_same, pieces, schedules

TEXTS = ["abcdefg ", "g", "fade ", "bed", "cafe b"]
MODELS = {name: options for name, options in KINDS.items() if name != "two directions"} | {
    "stack": {"encoder": partial(Stack, layers=[partial(GRU, hidden_size=5), partial(LSTM, hidden_size=4)])},
    "learned": {"encoder": Learned},
    "dropout": {"input_dropout": 0.5, "output_dropout": 0.5, "embedding_dropout": 0.5},
}


@cache
def model_of(kind):
    """A model in training mode."""
    return build(datasets.Dataset.from_dict({"text": TEXTS * 3}), **MODELS[kind])[0].train()


def whole(model, text):
    """What the model predicts for a row, alone and at once."""
    ids = torch.tensor(model.vocabulary.encode([text])[0])
    batch = Batch(torch.tensor([0]), {"text": PackedSequence(ids, torch.ones(len(ids), dtype=torch.int64))}, {})
    model.eval()
    with torch.no_grad():
        found = model.predict_step(batch, 0).columns
    model.train()
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize("kind", MODELS)
@given(pushes=schedules(tuple(map(len, TEXTS))))
@settings(max_examples=8)
def test_pieces_give_what_whole_rows_give(kind, pushes):
    model = model_of(kind)
    stream, nll, read = model.stream(batch_size=len(TEXTS)), [[] for _ in TEXTS], [""] * len(TEXTS)
    for push in pieces(TEXTS, pushes):
        before = [stream.log_probs(), stream.next_tokens(3)]
        outputs = stream.push(push)
        read = [text + (piece or "") for text, piece in zip(read, push, strict=True)]
        for row, output in enumerate(outputs):
            nll[row] += output["nll"]
            if read[row]:
                assert_same(output | {"nll": nll[row]}, whole(model, read[row]))
            if not push[row]:
                assert torch.equal(before[0][row], stream.log_probs()[row])
                assert before[1][row] == stream.next_tokens(3)[row]


@pytest.mark.parametrize("kind", ["two layers", "adaptive"])
def test_next_tokens_are_those_of_the_whole_row(kind):
    model = model_of(kind)
    stream = model.stream(batch_size=2)
    for text in ("", "fad"):
        stream.push([text, None])
        ids = torch.tensor(model.vocabulary.encode([text])[0] if text else [], dtype=torch.int64)
        model.eval()
        with torch.no_grad():
            hidden, _, _ = model.encode(
                PackedSequence(torch.cat([torch.tensor([END]), ids]), torch.ones(len(ids) + 1, dtype=torch.int64)),
                model.encoder,
                None,
            )
            wanted = model.softmax.log_probs(hidden.data)[-1]
        model.train()
        torch.testing.assert_close(stream.log_probs()[0], wanted, rtol=1e-6, atol=1e-6)
        order = [i for i in wanted.argsort(descending=True).tolist() if i not in (0, END)]
        tokens = {model.vocabulary.decode([[i]])[0]: wanted[i].exp().item() for i in order}
        assert list(stream.next_tokens(4)[0]) == list(tokens)[:4]
        assert_same(stream.next_tokens(100)[0], tokens)
        stream.reset(rows=[0])


def test_before_the_first_token_and_after_a_reset():
    model = model_of("one direction")
    stream = model.stream()
    begin, first = stream.push(""), stream.next_tokens()
    assert begin["nll"] == []
    assert math.isclose(begin["perplexity"], math.exp(begin["end_nll"]))
    assert math.isclose(begin["end_nll"], -stream.log_probs()[0, END].item(), rel_tol=1e-6)
    one = stream.push("cafe")
    assert stream.lengths == [4]
    assert stream.next_tokens() != first
    stream.reset()
    assert stream.lengths == [0]
    assert stream.push(None) == begin
    assert stream.next_tokens() == first
    assert_same(stream.push("cafe"), one)


def test_the_most_probable_token_is_the_one_that_generate_adds():
    model = model_of("one direction")
    stream = model.stream(batch_size=2)
    stream.push(["ab", "g"])
    likely = [next(iter(tokens)) for tokens in stream.next_tokens(1)]
    assert model.generate(["ab", "g"], 1, temperature=0, may_end=False) == ["ab" + likely[0], "g" + likely[1]]


def test_words_and_ids_as_tokens():
    rows = datasets.Dataset.from_dict({"words": [["a", "b"], ["c"]] * 3, "ids": [[3, 1], [2]] * 3})
    for column, encoder, known in (("words", None, {"a", "b", "c"}), ("ids", Ids(), {0, 1, 2, 3})):
        data = SequenceDataModule(rows, inputs={column: encoder} if encoder else column, max_tokens=8)
        stream = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING).stream()
        assert set(stream.next_tokens()) == known
        assert len(stream.push([next(iter(stream.next_tokens(1)))])["nll"]) == 1


def test_bad_values_leave_the_stream_as_it_was():
    model = model_of("one direction")
    stream = model.stream(batch_size=2)
    stream.push(["ca", "b"])
    state = stream.log_probs()
    with pytest.raises(ValueError, match=r"row 1 of the push \(column 'text'\): 'xy' at position 0 is not one"):
        stream.push([["f"], ["xy"]])
    with pytest.raises(ValueError, match="count=0: must be"):
        stream.next_tokens(0)
    assert torch.equal(stream.log_probs(), state)
    assert stream.push(["fe", None])[0]["nll"] == pytest.approx(whole(model, "cafe")["nll"][2:], rel=1e-6)


def test_two_directions_are_refused():
    model, _ = build(datasets.Dataset.from_dict({"text": TEXTS}), **KINDS["two directions"])
    with pytest.raises(ValueError, match="LanguageModel cannot stream: with bidirectional=True it reads rows"):
        model.stream()


def test_encoders_without_a_state_are_refused():
    class Own(LSTM):
        def forward(self, values):
            return super().forward(values)

    model, _ = build(datasets.Dataset.from_dict({"text": TEXTS}), encoder=partial(Own, hidden_size=4))
    with pytest.raises(ValueError, match="LanguageModel cannot stream: encoder Own takes no state"):
        model.stream()


def test_tokenizers_of_whole_texts_are_refused():
    encoder = TokenizerFile(tokenizer=dump_vocabulary(new_tokenizer(), {"a": 3, "b": 2}, 1))
    rows = datasets.Dataset.from_dict({"text": ["a", "b"] * 3})
    data = SequenceDataModule(rows, inputs={"text": encoder}, max_tokens=8)
    model = LanguageModel(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    with pytest.raises(ValueError, match="input 'text': TokenizerFile splits a text as a whole, so the tokens of"):
        model.stream()


def test_a_model_whose_training_diverged_is_refused(rows):
    model, _ = build(rows)
    stream = model.stream()
    with torch.no_grad():
        model.embeddings[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="an output of LanguageModel is NaN, as after a training that diverged"):
        stream.push("ab")
    assert stream.lengths == [0]
