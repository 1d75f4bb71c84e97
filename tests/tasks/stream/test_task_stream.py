"""What a stream gives for pieces of rows is what the model gives for the whole rows."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seqkit import Classifier, CTCRecognizer, MultiTask, SequenceDataModule, Tagger
from seqkit.data import LabelSequences
from seqkit.nn import CRF, GRU, LSTM, AttentionPool, Downsample, MeanPool, Stack, Upsample
from tests.tasks.stream.cases import (
    EMBED,
    ENCODERS,
    KINDS,
    ROWS,
    SIZE,
    assert_same,
    built,
    dataset,
    joined,
    raw,
    run,
    schedules,
    whole,
)

PER_TOKEN = {f"{name}{suffix}" for name in ("tags", "flags", "values", "spans") for suffix in ("", "_scores")}


def assert_as_whole(kind, encoder, pushes, scores=False):
    model, data = built(kind, encoder)
    outputs = run(model.stream(batch_size=ROWS, scores=scores), data, pushes)
    for row, found in enumerate(joined(outputs, PER_TOKEN | {"spans_spans"})):
        if "spans_spans" in found:  # a span that continues replaces itself
            found["spans_spans"] = list({span["start"]: span for span in found["spans_spans"]}.values())
        assert_same(found, whole(model, data, row, scores=scores))


@pytest.mark.parametrize("kind", KINDS)
@given(pushes=schedules())
@settings(max_examples=8)
def test_every_task_gives_what_it_gives_for_whole_rows(kind, pushes):
    assert_as_whole(kind, "lstm", pushes, scores=kind != "forecaster")


@pytest.mark.parametrize("encoder", [*ENCODERS, "learned"])
@given(pushes=schedules())
@settings(max_examples=8)
def test_every_encoder_gives_what_it_gives_for_whole_rows(encoder, pushes):
    assert_as_whole("each step", encoder, pushes)


@given(st.data())
@settings(max_examples=12)
def test_a_value_per_sequence_is_that_of_the_tokens_read_so_far(drawn):
    model, data = built("multitask", "stack")
    stream, read = model.stream(batch_size=ROWS), [0] * ROWS
    rows, as_row = raw(data)
    for sizes in drawn.draw(schedules()):
        cut = [row[at : at + size] for row, at, size in zip(rows, read, sizes, strict=True)]
        read = [at + size for at, size in zip(read, sizes, strict=True)]
        found = stream.push([as_row(piece) for piece in cut])
        assert stream.lengths == read
        for output, row, at in zip(found, rows, read, strict=True):
            assert (output["label"] is None) == (at == 0)
            if at:
                one = model.stream().push(as_row(row[:at]))
                assert output["label"] == one["label"]


@given(st.data())
@settings(max_examples=12)
def test_sequences_begin_again_when_they_are_reset(drawn):
    model, data = built("each step", "learned")
    stream, (rows, as_row) = model.stream(batch_size=3), raw(data)
    read, wanted = [[] for _ in range(3)], [None] * 3
    for _ in range(drawn.draw(st.integers(1, 6))):
        again = drawn.draw(st.sets(st.integers(0, 2)))
        stream.reset(rows=again) if len(again) < 3 else stream.reset()
        read = [[] if i in again else row for i, row in enumerate(read)]
        new = [drawn.draw(st.sampled_from(rows))[: drawn.draw(st.integers(0, 3))] for _ in range(3)]
        read = [row + piece for row, piece in zip(read, new, strict=True)]
        found = stream.push([as_row(piece) if piece else None for piece in new])
        for output, row, piece in zip(found, read, new, strict=True):
            wanted = model.stream().push(as_row(row))["values"][len(row) - len(piece) :] if row else []
            assert_same(output["values"], wanted)


def test_standardised_features_of_a_layer_of_torch_by_hand():
    model, data = built("forecaster", "lstm, without bias")
    stock = nn.LSTM(2, 6, 3, bias=False).double()
    stock.load_state_dict(model.encoder.state_dict())
    init = data.spec["inputs"]["series"]["init_args"]
    mean, std = (torch.tensor(init[name], dtype=torch.float64) for name in ("mean", "std"))
    series = torch.tensor(dataset()[0]["series"], dtype=torch.float64)
    stream, state = model.stream(), None
    for step in series:
        hidden, state = stock(((step - mean) / std)[None], state)
        wanted = model.head.double()(hidden[0]).view(2, 2) * std + mean
        model.head.float()
        found = torch.tensor(stream.push([step.tolist()])["series"], dtype=torch.float64)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_in_double_precision():
    model, data = built("each step", "stack")
    model.double()
    try:
        outputs = run(model.stream(batch_size=ROWS), data, [[1] * ROWS, [4, 0, 2, 2, 3], [2, 0, 0, 0, 1]])
        model.eval()
        for row, found in enumerate(joined(outputs, PER_TOKEN)):
            inputs = data.rows("train")[[row]].inputs
            inputs["series"] = inputs["series"]._replace(data=inputs["series"].data.double())
            wanted = model.decode(model(inputs)).data[:, 0]
            assert found["values"] == pytest.approx(wanted.tolist(), rel=1e-12)
    finally:
        model.float().train()


def test_the_mode_of_training_and_the_gradients_are_left_alone():
    model, data = built("tagger")
    modes = {name: module.training for name, module in model.named_modules()}
    before = torch.get_rng_state()
    run(model.stream(batch_size=ROWS), data, [[1] * ROWS])
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()
    model.eval()
    run(model.stream(batch_size=ROWS), data, [[1] * ROWS])
    assert not model.training
    model.train()


# What is refused


class Own(nn.Module):
    """An encoder without a state."""

    def __init__(self, input_size):
        super().__init__()
        self.linear, self.output_size = nn.Linear(input_size, 4), 4

    def forward(self, values):
        return values._replace(data=self.linear(values.data)), None


class Tokenwise(Own):
    is_tokenwise = True


class OwnEmbedding(nn.Embedding):
    output_size = 4

    def __init__(self, size):
        super().__init__(size, 4)


class Reversed(Tagger):
    def encode(self, inputs):
        return super().encode(inputs)


ENCODER = partial(GRU, **SIZE)


def model_of(task, targets, encoder=ENCODER, **options):
    data = SequenceDataModule(dataset(), inputs="words", targets=targets, max_tokens=64)
    return task(data.spec, encoder=encoder, **(EMBED | options))


REFUSED = {
    "bidirectional": (
        partial(model_of, Tagger, "tags", partial(LSTM, **SIZE, bidirectional=True)),
        r"Tagger cannot stream: encoder LSTM is bidirectional, .* train it with bidirectional=False, or",
    ),
    "bidirectional in a stack": (
        partial(model_of, Tagger, "tags", partial(Stack, layers=[partial(LSTM, **SIZE, bidirectional=True)])),
        "encoder Stack is bidirectional",
    ),
    "steps": (
        partial(
            model_of, Tagger, "tags", partial(Stack, layers=[Downsample, partial(GRU, **SIZE), partial(Upsample)])
        ),
        "encoder Stack has Downsample, which changes the number of steps",
    ),
    "no state": (
        partial(model_of, Tagger, "tags", Own),
        r"encoder Own takes no state; give its forward a second argument, .* or set its attribute",
    ),
    "no state in a stack": (
        partial(model_of, Tagger, "tags", partial(Stack, layers=[partial(GRU, **SIZE), Own])),
        "layer Own of encoder Stack takes no state",
    ),
    "decoder": (
        partial(model_of, Tagger, "tags", decoder=CRF),
        r"the decoder of target 'tags' chooses the labels of a sequence together; train a Tagger without",
    ),
    "decoder of a head": (
        partial(model_of, MultiTask, ["tags", "values"], heads={"tags": partial(Tagger, decoder=CRF)}),
        "MultiTask cannot stream: the decoder of target 'tags'",
    ),
    "mean": (
        partial(model_of, Classifier, "label", pooling=MeanPool),
        "MeanPool of target 'label' reads all tokens of a sequence; train it with LastPool, or call predict",
    ),
    "attention": (
        partial(model_of, Classifier, "label", pooling=AttentionPool, attention=True),
        "AttentionPool of target 'label'",
    ),
    "ctc": (
        partial(model_of, CTCRecognizer, {"tags": LabelSequences()}),
        "CTCRecognizer cannot stream: the labels of target 'tags' belong to no token of the input",
    ),
    "encode": (partial(model_of, Reversed, "tags"), "Reversed cannot stream: it has a method `encode` of its own"),
    "embedding": (
        partial(model_of, Tagger, "tags", embedding=OwnEmbedding),
        "the embedding of input 'words' is OwnEmbedding, which may read more than one token at once; set its",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_models_that_need_later_tokens_are_refused(kind):
    build, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        build().stream(batch_size=2)


def test_pairs_are_refused():
    rows = dataset().add_column("others", dataset()["words"])
    data = SequenceDataModule(rows, inputs=["words", "others"], targets="label", unaligned="others", max_tokens=64)
    model = Classifier(data.spec, encoder=partial(GRU, **SIZE), **EMBED)
    with pytest.raises(ValueError, match=r"it reads pairs of sequences, \['words'\] and \['others'\]"):
        model.stream()


def test_a_layer_may_say_that_it_computes_each_token_alone():
    model = model_of(Tagger, "tags", partial(Stack, layers=[Tokenwise, partial(GRU, **SIZE)]))
    words = dataset()[0]["words"]
    stream = model.stream()
    assert [tag for word in words for tag in stream.push([word])["tags"]] == model.stream().push(words)["tags"]
    assert model_of(Tagger, "tags", Tokenwise).stream().push(words)["tags"]
