"""What a causal task computes before a step does not depend on the inputs from that step on."""

from functools import partial

import datasets
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import seqkit.nn
from seqkit import CTCRecognizer, Forecaster, LanguageModel, MultiTask, Regressor, SequenceDataModule, Tagger
from seqkit.data import LabelSequences, WordCharacters, Words
from seqkit.nn import (
    CRF,
    GRU,
    LSTM,
    RNN,
    CharacterCNN,
    CharacterLSTM,
    Downsample,
    Embedding,
    Projection,
    Stack,
    Upsample,
)
from seqkit.packed import PackedLayout

SIZE, DIM = {"hidden_size": 6}, {"embedding_dim": 4}
SAMPLED = [partial(Downsample, factor=2), partial(GRU, **SIZE), partial(Upsample, factor=2)]
# By public module: encoders that a causal task takes.
CAUSAL = {
    "LSTM": [
        partial(LSTM, **SIZE),
        partial(LSTM, **SIZE, num_layers=2, proj_size=4),
        partial(LSTM, **SIZE, num_layers=3, skip="residual", layer_norm=True, zoneout=0.2, cell_zoneout=0.1),
        partial(LSTM, **SIZE, num_layers=2, dropout=0.5, locked_dropout=0.5, recurrent_dropout=0.5),
    ],
    "GRU": [
        partial(GRU, **SIZE),
        partial(GRU, **SIZE, num_layers=2, skip="highway", input_dropout=0.5, weight_dropout=0.5),
    ],
    "RNN": [partial(RNN, **SIZE), partial(RNN, **SIZE, nonlinearity="relu", bias=False, layer_norm=True)],
    "Stack": [
        partial(Stack, layers=[partial(LSTM, **SIZE), partial(GRU, **SIZE)], dropout=0.5),
        partial(Stack, layers=[partial(Projection, output_size=5), partial(RNN, **SIZE)]),
    ],
}
# By public module: encoders that a causal task refuses.
REFUSED = {
    "LSTM": [partial(LSTM, **SIZE, bidirectional=True)],
    "Stack": [
        partial(Stack, layers=[partial(LSTM, **SIZE, bidirectional=True), partial(GRU, **SIZE)]),
        partial(Stack, layers=SAMPLED),
    ],
    "Downsample": [partial(Stack, layers=SAMPLED[:2])],
    "Upsample": [partial(Stack, layers=SAMPLED[1:])],
}
# Public names that are no encoder: they work on the tokens one by one, within a token, or after the encoder.
OTHERS = {
    *("Embedding", "Projection", "CharacterCNN", "CharacterLSTM"),
    *("Dropout", "EmbeddingDropout", "LockedDropout"),
    *("AttentionPool", "LastPool", "MaxPool", "MeanPool", "CRF", "Softmax", "AdaptiveSoftmax", "OutputSoftmax"),
    *("RecurrentOptions", "map_state", "restore_recurrent", "swap_recurrent"),
}
CHARACTERS = {"characters": WordCharacters(column="words")}
EMBED = {"embedding": partial(Embedding, embedding_dim=5, word_dropout=0.1)}
KINDS = {
    "tagger": (partial(Tagger, **EMBED, causal=True), {"inputs": "words", "targets": "tags"}),
    "regressor": (partial(Regressor, **EMBED, causal=True), {"inputs": ["words", "series"], "targets": "values"}),
    "forecaster": (partial(Forecaster, horizon=2), {"inputs": "series"}),
    "language model": (partial(LanguageModel, **EMBED), {"inputs": "words"}),
    "multitask": (partial(MultiTask, **EMBED, causal=True), {"inputs": "words", "targets": ["tags", "values"]}),
    "ctc": (
        partial(CTCRecognizer, **EMBED, causal=True),
        {"inputs": "words", "targets": {"tags": LabelSequences()}},
    ),
    "lstm of characters": (
        partial(
            Tagger, **EMBED, causal=True, embeddings={"characters": partial(CharacterLSTM, embedding_dim=4, **SIZE)}
        ),
        {"inputs": {"words": Words()} | CHARACTERS, "targets": "tags"},
    ),
    "cnn of characters": (
        partial(Tagger, **EMBED, causal=True, embeddings={"characters": partial(CharacterCNN, **DIM, filters=3)}),
        {"inputs": {"words": Words()} | CHARACTERS, "targets": "tags"},
    ),
    "projected": (
        partial(Regressor, causal=True, embeddings={"series": partial(Projection, output_size=3)}),
        {"inputs": "series", "targets": "values"},
    ),
}


@pytest.fixture(scope="module")
def rows(splits):
    return datasets.DatasetDict({name: part.select(range(12)) for name, part in splits.items()})


def build(kind, rows, encoder, **options):
    task, columns = KINDS[kind]
    data = SequenceDataModule(rows, **columns, max_tokens=64)
    torch.manual_seed(0)
    return task(data.spec, encoder=encoder, **options).eval(), data.rows("train")[[3, 1, 4, 7, 9]].inputs


def changed(inputs, position):
    """Inputs with other values from a position on."""
    main = next(iter(inputs.values()))
    late = PackedLayout.of(main).positions >= position
    found = {}
    for column, values in inputs.items():
        own = late
        if len(values.batch_sizes) != len(main.batch_sizes) or not torch.equal(
            values.batch_sizes, main.batch_sizes
        ):
            order = values.sorted_indices  # of the tokens, each with a sequence of its own
            own = (late if order is None else late[order])[PackedLayout.of(values).ranks]
        other = values.data + 1.0 if values.data.is_floating_point() else values.data.roll(1, 0)
        keep = own.view(-1, *[1] * (values.data.dim() - 1))
        found[column] = values._replace(data=torch.where(keep, other, values.data))
    return found


def outputs(model, inputs):
    """The packed outputs, and the decoded ones."""
    with torch.no_grad():
        found = model(inputs)
        heads = model.heads if isinstance(model, MultiTask) else {None: model}
        each = found if isinstance(found, dict) else {None: found}
        decoded = [
            heads[k].decode(v) for k, v in each.items() if not isinstance(model, LanguageModel | CTCRecognizer)
        ]
    return [v for v in [*each.values(), *decoded] if isinstance(v, PackedSequence)]


def assert_causal(model, inputs, positions=(1, 2, 4), steps=lambda t: t):
    own = outputs(model, inputs)
    for position in positions:
        others = outputs(model, changed(inputs, position))
        for a, b in zip(own, others, strict=True):
            early = PackedLayout.of(a).positions < steps(position)
            assert torch.equal(a.data[early], b.data[early])
        assert not torch.equal(own[0].data, others[0].data)


def test_every_public_module_is_covered():
    assert CAUSAL.keys() | REFUSED.keys() | OTHERS == set(seqkit.nn.__all__)


@pytest.mark.parametrize("encoder", [e for each in CAUSAL.values() for e in each])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_do_not_depend_on_later_inputs(kind, encoder, rows):
    assert_causal(*build(kind, rows, encoder))


@pytest.mark.parametrize("kind", ["tagger", "regressor", "forecaster", "language model", "multitask"])
@pytest.mark.parametrize("encoder", [e for each in REFUSED.values() for e in each])
def test_encoders_that_read_later_steps_are_refused(kind, encoder, rows):
    with pytest.raises(ValueError, match=r"bidirectional|Downsample|Upsample"):
        build(kind, rows, encoder)


@pytest.mark.parametrize(
    ("layers", "steps"),
    [(SAMPLED[:2], lambda t: t // 2), (SAMPLED[1:], lambda t: 2 * t), (SAMPLED, lambda t: t // 2 * 2)],
    ids=["merged", "repeated", "both"],
)
def test_an_output_of_ctc_stands_at_the_last_step_that_it_is_made_of(layers, steps, rows):
    assert_causal(*build("ctc", rows, partial(Stack, layers=layers)), steps=steps)


def test_an_embedding_that_reads_later_steps_is_refused(rows):
    class Both(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.embedding, self.lstm = Embedding(size, 4), LSTM(4, 3, bidirectional=True)
            self.output_size = 6

        def forward(self, ids):
            return self.lstm(self.embedding(ids))[0]

    data = SequenceDataModule(rows, inputs="words", targets="tags", max_tokens=64)
    message = "Tagger is causal, but the embedding of input 'words' is bidirectional: .* set bidirectional=False"
    with pytest.raises(ValueError, match=message):
        Tagger(data.spec, encoder=partial(GRU, **SIZE), embedding=Both, causal=True)


def test_messages_of_refused_layers(rows):
    message = "Tagger is causal, but encoder Stack has Downsample, which changes the steps: .* set causal=False"
    with pytest.raises(ValueError, match=message):
        build("tagger", rows, partial(Stack, layers=SAMPLED))


def test_decoders_of_whole_sequences_are_refused(rows):
    encoder = partial(GRU, **SIZE)
    with pytest.raises(ValueError, match="Tagger is causal, but its decoder chooses the tags of a sequence"):
        build("tagger", rows, encoder, decoder=CRF)
    with pytest.raises(ValueError, match=r"MultiTask is causal, but the head of target 'tags' has a decoder"):
        build("multitask", rows, encoder, heads={"tags": partial(Tagger, decoder=CRF)})
